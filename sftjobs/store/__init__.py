"""The artifact store: a folder or an S3 prefix behind one small interface (`base.Store`)."""
