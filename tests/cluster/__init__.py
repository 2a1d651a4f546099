"""A real Kubernetes control plane on loopback, for the contract tests: ``make test-cluster``."""
