"""Who may do what with the API: authentication, authorization, limits, audit.

Order of a request, from outside: audit -> authentication -> limits -> authorization -> the verb; what a write would
give to others is judged where the object is admitted (`granting`). Deciding is pure (`rbac`, `escalation`), apart from
the watch that feeds it (`follower`).
"""
