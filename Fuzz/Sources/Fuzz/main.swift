// libFuzzer around one of the targets that the tests share; started by scripts/fuzz.

import CLibFuzzer
import FuzzTargets
import Glibc

var argumentCount = CommandLine.argc
var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
print("Target: \(chosenTarget.rawValue)")
exit(LLVMFuzzerRunDriver(&argumentCount, &arguments, testOneInput))
