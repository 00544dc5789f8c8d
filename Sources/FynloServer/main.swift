// fynlo-server: one line per subcommand. Exit codes: 0 done, 1 failed, 64 wrong usage, 78 bad configuration (sysexits.h).

import FynloIO
import Glibc

ProcessSetup.ignoreSIGPIPE()
exit(CommandLine.run(Array(CommandLine.arguments.dropFirst())))
