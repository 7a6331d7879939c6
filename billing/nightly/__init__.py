"""What is done by night: one run per UTC date, made of steps that do nothing twice. docs/operating.md says how."""
