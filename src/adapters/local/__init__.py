"""This machine as the service: programs run in child processes, spoken to like a remote service.

`process.LocalServiceProcess` starts it. Importing that needs neither starlette nor uvicorn; the
service itself does: they come with the extra `local`.
"""
