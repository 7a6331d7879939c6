"""A local mailbox for development: it accepts every mail over SMTP, keeps it in a folder, and shows it on a page."""
