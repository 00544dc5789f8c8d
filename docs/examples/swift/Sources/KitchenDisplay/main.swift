// A kitchen display: prints what happens in a restaurant, or moves one order on and ends.
//
//     KitchenDisplay RESTAURANT [ORDER STATUS]
//
// FYNLO_URL, FYNLO_TOKEN and FYNLO_USER_ID say which server, and who asks.

import FynloClient
import Glibc

/// Everything is made in here: a global of main.swift would belong to the main actor, and the loop's listeners do not.
func run() throws -> Int32 {
    let words = Array(CommandLine.arguments.dropFirst())
    guard words.count == 1 || words.count == 3, let restaurant = RestaurantID(words[0]),
        let url = variable("FYNLO_URL"), let token = variable("FYNLO_TOKEN"),
        let user = variable("FYNLO_USER_ID").flatMap({ UserID($0) })
    else {
        say("usage: KitchenDisplay RESTAURANT [ORDER STATUS], with FYNLO_URL, FYNLO_TOKEN and FYNLO_USER_ID")
        return 64
    }
    let loop = try EventLoop()
    let tokens = try TokenSource(loop: loop, token: token)
    var settings = Client.Settings(
        server: try ServerURL(url), restaurant: restaurant, clientType: .kitchen, user: user)
    settings.deviceID = "display-\(getpid())"  // A real display has one name that it keeps.
    let client = try Client(loop: loop, settings: settings, tokens: tokens)
    var exitCode: Int32 = 0

    // The client connects again, resumes after the last event and drops what comes twice by itself.
    client.on(.message) { event in
        guard case .message(let message) = event else { return }
        if message.type == "resync_required" {
            say("Events are missing: load the lists again by REST.")
        } else if !message.isProtocol {
            say(String(decoding: message.json, as: UTF8.self))
        }
    }
    client.on(.connect) { _ in say("Connected.") }
    client.on(.disconnect) { event in
        if case .disconnect(let closure, _) = event { say("No connection (\(closure.code)): \(closure.reason)") }
    }
    client.on(.authError) { event in
        if case .authError(let error) = event { say(error.sentence) }
    }
    client.on(.state) { event in
        guard event == .state(.disconnected) else { return }
        exitCode = 2  // No other attempt would end better.
        loop.stop()
    }
    if words.count == 3 {
        guard let order = OrderID(words[1]), let status = OrderStatus(rawValue: words[2]) else {
            say("ORDER is a UUID, and STATUS a word such as ready.")
            return 64
        }
        let data = #"{"order_id": "\#(order)", "status": "\#(status)"}"#
        try client.send("order.status_update", data: data) { state in
            if case .refused(let error) = state {
                say("Refused (\(error.code)): \(error.sentence)")
                exitCode = 1
            } else {
                say("Done.")
            }
            client.close { loop.stop() }
        }
    }
    client.connect()
    try loop.run()
    tokens.close()
    loop.close()
    return exitCode
}

func variable(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
}

func say(_ line: String) {
    print(line)
    fflush(nil)  // At once, into a pipe as well.
}

ProcessSetup.ignoreSIGPIPE()
do {
    exit(try run())
} catch {
    say("\(error)")
    exit(2)
}
