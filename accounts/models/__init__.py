from accounts.models.alarm import Alarm
from accounts.models.api_key import ApiKey, ApiKeySecret
from accounts.models.audit import AuditEntry
from accounts.models.organization import Membership, Organization, Role
from accounts.models.user import User

__all__ = ["Alarm", "ApiKey", "ApiKeySecret", "AuditEntry", "Membership", "Organization", "Role", "User"]
