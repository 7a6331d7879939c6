"""What keys may do beside calling models: manage the organization's keys and read its usage, over `/api/v1`."""

KEYS_READ = "keys:read"
KEYS_WRITE = "keys:write"
USAGE_READ = "usage:read"

MANAGEMENT_SCOPES = {
    KEYS_READ: "List and read API keys",
    KEYS_WRITE: "Create, change, rotate and revoke API keys",
    USAGE_READ: "Read requests and what they cost",
}
