// The function that libFuzzer calls for each input.

import FuzzTargets
import Glibc

/// The target that FYNLO_FUZZ_TARGET names: a variable and not an argument, because libFuzzer starts this program again
/// with its own arguments when it merges.
let chosenTarget: FuzzTarget = {
    guard let name = getenv("FYNLO_FUZZ_TARGET"), let target = FuzzTarget(rawValue: String(cString: name)) else {
        print("FYNLO_FUZZ_TARGET has to be one of \(FuzzTarget.allCases.map(\.rawValue).joined(separator: ", ")).")
        exit(64)
    }
    return target
}()

/// Runs one input; a failure ends the process, which libFuzzer detects.
func testOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    do {
        try chosenTarget.run([UInt8](UnsafeBufferPointer(start: data, count: count)))
    } catch {
        fatalError("\(error)")
    }
    return 0
}
