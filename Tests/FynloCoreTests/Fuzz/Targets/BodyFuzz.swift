// The bodies of REST requests, part of the JSON target: the text is taken for each of them.

import FynloCore

/// What is accepted is passed on to the database as JSON that it can keep, with totals that add up.
func checkBodies(_ text: [UInt8]) throws(FuzzFailure) {
    let request = HTTPRequest(method: .post, path: "/", body: text)
    _ = try? OrderStatusUpdate(request, order: OrderID(FuzzSample.restaurant.uuid), limits: Limits())
    if let notification = try? Notification(request, limits: Limits()) {
        try checkStorable(notification.json, "a notification")
    }
    guard let order = try? NewOrder(request, limits: Limits()) else { return }
    try checkStorable(order.json, "an order")
    try require((1...Limits().orderItems).contains(order.items.count), "an order has items")
    var sum: Int64 = 0
    for item in order.items {
        try require(item.totalPrice.cents == item.unitPrice.cents * Int64(item.quantity), "an item's total is exact")
        sum += item.totalPrice.cents
    }
    try require(order.subtotal.cents == sum, "the subtotal is the items' sum")
    sum += order.taxAmount.cents + order.serviceCharge.cents + order.tipAmount.cents - order.discountAmount.cents
    try require(order.totalAmount.cents == max(0, sum), "the total is what is left")
}

private func checkStorable(_ json: String, _ what: String) throws(FuzzFailure) {
    let bytes = Array(json.utf8)
    guard let value = try? JSON.scan(bytes.span), value.kind == .object else {
        throw FuzzFailure(description: "\(what) is written as a JSON object: \(json)")
    }
    try checkNoNUL(value, in: bytes, what)
}

private func checkNoNUL(_ value: JSONValue, in text: [UInt8], _ what: String) throws(FuzzFailure) {
    switch value.kind {
    case .string:
        try require(JSON.string(value, in: text.span)?.utf8.contains(0) == false, "\(what) has no NUL in its texts")
    case .object, .array:
        var parts: [JSONValue] = []
        if value.kind == .object {
            try? JSON.scanMembers(of: value, in: text.span) { parts += [$0, $1] }
        } else {
            try? JSON.scanElements(of: value, in: text.span) { parts.append($0) }
        }
        for part in parts { try checkNoNUL(part, in: text, what) }
    case .number:
        try require(value.positions.count <= 41, "\(what) has no enormous number")
    case .boolean, .null: break
    }
}
