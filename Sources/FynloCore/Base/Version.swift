// The version of this release, in the one place where it stands.

/// The version of the server and of the `fynlo` command, as `--version`, `/health` and the name of the package show it.
/// `scripts/package` reads it from this line.
public let fynloVersion = "0.1.0"
