"""What became of one record, from the ledger alone (docs/ledger.md); `sftjobs why` starts `python -m jobs.data.why`."""
