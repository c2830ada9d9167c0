"""Who may have it: provider records, merged candidates, when to announce again. Pure."""
