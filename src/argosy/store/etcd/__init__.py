"""The store in etcd 3.4 or newer: `address` is what it is told, `client` the calls, `keys` the layout."""
