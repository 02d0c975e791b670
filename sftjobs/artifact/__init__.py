"""The commit protocol on top of a store: claims, manifests, commits, leases, checkpoints, verified transfer."""
