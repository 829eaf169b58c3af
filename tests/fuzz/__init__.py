"""Strangers' bytes at every door: files, tables, forms and headers, changed a million ways from fixed seeds.

python -m tests.fuzz --inputs 200000          (`make fuzz`; see `hunt` for what counts as a finding)
python -m tests.fuzz replay DOOR SEED NUMBER  the one input again, in this process
"""
