"""How validators agree: quorums, engines and their messages.

Pure state machines: an event goes in, effects come out. A batch is a digest here, never its bytes.
"""
