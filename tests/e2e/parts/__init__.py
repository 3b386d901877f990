# SPDX-License-Identifier: Apache-2.0
"""Real parts for the end-to-end tests and the demo, one file a part.

Each part is a context manager: it takes free ports on the loopback, starts its process in a session of its own, waits
until it serves, and at the end kills that process by its id and waits for it. Standard library only.
"""
