"""Finds modules for each service of a process that several services share.

A service's module stands in `sys.modules` under its real name, with a key that is found while that service runs
(module_keys.py). An ImportScope knows which names are the service's own, one for each generation of its code; the
ImportSystem, in front of `sys.meta_path`, asks the scope of the running service. ServiceCode is what the runtime uses:
it loads what a service's declaration names.
"""
