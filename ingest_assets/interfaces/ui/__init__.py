"""The Dagster UI, behind a guard.

Dagster's web server trusts whoever reaches it: it changes things by GET too, answers to any Host, and accepts
web sockets from any site's page.

- `guard`: what every request and web socket goes through
- `login`: the page where people give their token, and the cookie that they get for it
- `server`: the process that listens

What belongs here: who may use Dagster's UI. What does not: that UI (`orchestration.webserver`), and our own
HTTP service (`interfaces.http`), whose bounds on connections and whose checks of origin are used here.
"""
