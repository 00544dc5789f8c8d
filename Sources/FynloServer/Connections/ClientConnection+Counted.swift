// What the counters know of a connection.

extension ClientConnection: CountedConnection {}
