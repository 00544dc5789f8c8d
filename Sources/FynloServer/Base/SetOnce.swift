// Parts of the server call each other back through properties that hold one closure. A second assignment would silently
// replace the first user, so it traps instead.

/// A callback that is assigned at most once, and does nothing until then.
@propertyWrapper
struct SetOnce<Callback> {
    private let unset: Callback
    private var callback: Callback
    private(set) var isSet = false

    /// The initial value is what happens while nobody has set the callback.
    init(wrappedValue: Callback) {
        unset = wrappedValue
        callback = wrappedValue
    }

    var wrappedValue: Callback {
        get { callback }
        set {
            precondition(!isSet, "a callback has one user: a second one would replace the first")
            isSet = true
            callback = newValue
        }
    }

    /// Gives access to `clear`.
    var projectedValue: SetOnce {
        get { self }
        set { self = newValue }
    }

    /// Lets go of the callback and of everything it holds.
    mutating func clear() {
        self = SetOnce(wrappedValue: unset)
    }
}
