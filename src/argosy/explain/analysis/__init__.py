"""What is wrong, risky or without effect in a set of objects, with Istio's message codes.

    objects ─> World ─┬─> the analyzers (`analyzers.ALL`) ─> Findings ─> Messages (`analyze.analyze`)
    Snapshot ─────────┴─> Facts, for the rules that are asked at apply too (`applied.warnings`)

* **Objects are read as they are** (`parts`): what does not fit its schema is told (IST0106) and hinders nothing else;
  kinds that are not the mesh's (Pod, Deployment, …) are looked at where an analyzer knows them.
* **A rule is written once.** What can be asked of the running mesh, too, asks `Facts`, of which there are two: over a
  World and over a Snapshot.
* **Two findings are the same** where code, object, field and text are: several analyzers may see one thing, it is said
  once.

The codes, names and levels are Istio's (istio.io/latest/docs/reference/config/analysis); the sentences are ours.
"""
