// A new order, read from a request. Its totals are computed only here.

/// A line of a new order.
public struct NewOrderItem: Equatable, Sendable {
    public let product: UUID128?
    public let productName: String
    public let quantity: Int32
    public let unitPrice: Money
    /// quantity × unit price.
    public let totalPrice: Money
    /// A JSON array.
    public let modifiers: [UInt8]
    public let specialInstructions: String?
}

/// The body of `POST /api/v1/orders`.
public struct NewOrder: Equatable, Sendable {
    public let restaurant: RestaurantID
    public let tableNumber: String?
    public let customerName: String?
    public let orderType: String
    public let notes: String?
    public let items: [NewOrderItem]
    /// The sum of the items.
    public let subtotal: Money
    public let taxAmount: Money
    public let serviceCharge: Money
    public let discountAmount: Money
    public let tipAmount: Money
    /// subtotal + tax + service charge + tip − discount, or zero if the discount is larger than the rest.
    public let totalAmount: Money

    private static let members: [StaticString] = [
        "restaurant_id", "table_number", "customer_name", "order_type", "notes", "items", "tax_amount",
        "service_charge", "discount_amount", "tip_amount",
    ]

    /// Reads and checks a request's body.
    public init(_ request: HTTPRequest, limits: Limits) throws(APIError) {
        let body = try RequestBody(request, names: NewOrder.members, limits: limits)
        restaurant = RestaurantID(try body.required("restaurant_id", body.uuid("restaurant_id")))
        tableNumber = try body.text("table_number", bytes: 0...limits.labelBytes)
        customerName = try body.text("customer_name", bytes: 0...limits.nameBytes)
        orderType = try body.text("order_type", bytes: 1...limits.labelBytes) ?? "dine_in"
        notes = try body.text("notes", bytes: 0...limits.noteBytes)
        let objects = try body.required(
            "items", body.objects("items", count: 1...limits.orderItems, names: NewOrderItem.members))
        var items: [NewOrderItem] = []
        var subtotal = Money.zero
        for object in objects {
            let item = try NewOrderItem(object, limits: limits)
            guard let sum = subtotal + item.totalPrice else {
                throw body.refusal("items", "must not cost more than 99999999.99 together.")
            }
            subtotal = sum
            items.append(item)
        }
        self.items = items
        self.subtotal = subtotal
        taxAmount = try body.money("tax_amount") ?? .zero
        serviceCharge = try body.money("service_charge") ?? .zero
        discountAmount = try body.money("discount_amount") ?? .zero
        tipAmount = try body.money("tip_amount") ?? .zero
        // Four amounts cannot overflow 64 bits; only the total after the discount has to fit.
        let sum = subtotal.cents + taxAmount.cents + serviceCharge.cents + tipAmount.cents
        guard let total = Money(cents: max(0, sum - discountAmount.cents)) else {
            throw APIError(.invalidParameter, "The order must not cost more than 99999999.99 in all.")
        }
        totalAmount = total
    }

    /// The order for the database, as one JSON object.
    public var json: String {
        var output = ByteBuffer()
        output.append("{\"table_number\":")
        output.append(jsonString: tableNumber)
        output.append(",\"customer_name\":")
        output.append(jsonString: customerName)
        output.append(",\"order_type\":")
        output.append(jsonString: orderType)
        output.append(",\"notes\":")
        output.append(jsonString: notes)
        let amounts: [(StaticString, Money)] = [
            (",\"subtotal\":", subtotal), (",\"tax_amount\":", taxAmount), (",\"service_charge\":", serviceCharge),
            (",\"discount_amount\":", discountAmount), (",\"tip_amount\":", tipAmount),
            (",\"total_amount\":", totalAmount),
        ]
        for (name, amount) in amounts {
            output.append(name)
            output.append(amount)
        }
        output.append(",\"items\":[")
        for (index, item) in items.enumerated() {
            if index > 0 { output.append(",") }
            item.append(to: &output)
        }
        output.append("]}")
        return output.withReadable { String(validating: $0) } ?? ""
    }
}

extension NewOrderItem {
    fileprivate static let members: [StaticString] = [
        "product_id", "product_name", "quantity", "unit_price", "modifiers", "special_instructions",
    ]

    fileprivate init(_ object: RequestBody, limits: Limits) throws(APIError) {
        product = try object.uuid("product_id")
        productName = try object.required("product_name", object.text("product_name", bytes: 1...limits.nameBytes))
        quantity = try object.required("quantity", object.integer("quantity", in: 1...limits.itemQuantity))
        unitPrice = try object.required("unit_price", object.money("unit_price"))
        modifiers = try object.json("modifiers", .array, bytes: limits.modifiersBytes) ?? Array("[]".utf8)
        specialInstructions = try object.text("special_instructions", bytes: 0...limits.noteBytes)
        guard let total = unitPrice.times(quantity) else {
            throw object.refusal("unit_price", "times quantity must not be more than 99999999.99.")
        }
        totalPrice = total
    }

    fileprivate func append(to output: inout ByteBuffer) {
        output.append("{\"product_id\":")
        if let product { output.append(json: product) } else { output.append("null") }
        output.append(",\"product_name\":")
        output.append(jsonString: productName)
        output.append(",\"quantity\":")
        output.append(decimal: Int64(quantity))
        output.append(",\"unit_price\":")
        output.append(unitPrice)
        output.append(",\"total_price\":")
        output.append(totalPrice)
        output.append(",\"modifiers\":")
        output.append(modifiers)
        output.append(",\"special_instructions\":")
        output.append(jsonString: specialInstructions)
        output.append("}")
    }
}
