"""The proof: real processes on real servers, broken on purpose, and checks that name what was lost or doubled.

Nothing is imported here: ``rappit_faults.process`` runs inside of the services and brings nothing else with it.
"""
