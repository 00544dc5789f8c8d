/// The version of this program: printed by `--version`, told by /health, and read from this file by scripts/package.
let fynloVersion = "0.1.0"
