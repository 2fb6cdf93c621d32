"""The deterministic simulator: whole nodes on a virtual clock, disk and network.

Every node runs its production parts (node.app.Node with everything below it) on an event loop of
its own, and all these loops share one virtual time and one seeded generator. A run is a function of
its seed (docs/simulator.md).
"""
