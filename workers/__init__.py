"""From a row in the queue to a running process and back.

Knows webapp's services and mmfrm's protocol, and never imports torch: every job is a child process.
"""
