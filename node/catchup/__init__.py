"""Fetching the blocks that a node lacks: from several peers at once, believing none of them.

peers      who claims what, who answers how quickly, who is passed over
window     which heights are asked of whom, and what waits for its turn (no I/O, no clock)
checking   what can be said of blocks before their turn comes, on threads
fetching   asks, checks and applies, until nobody claims more
progress   how fast it goes
"""
