// fynlo: one line per subcommand. Exit codes: 0 done; 1 the server answered with an error; 2 no connection, or not
// authenticated; 64 wrong usage.

import FynloIO
import Glibc

ProcessSetup.ignoreSIGPIPE()
exit(runCommand(Array(CommandLine.arguments.dropFirst())))
