"""Who may do what with the API: authentication, impersonation, limits, authorization, audit.

Order of a request, from outside: audit -> authentication -> impersonation -> limits -> authorization -> the verb; what
a write would give to others is judged where the object is admitted (`granting`). Deciding is pure (`rbac`,
`escalation`), apart from the watch that feeds it (`follower`).
"""
