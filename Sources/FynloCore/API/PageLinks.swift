// The pages of a list link to one another, so that a client need not construct their URLs.

/// The Link field of a paginated list.
public enum PageLinks {
    /// RFC 8288: first, prev, next and last, as far as they exist, relative to the host. `query` holds the parameters except
    /// page and limit.
    public static func field(_ path: String, query: String, page: Int, limit: Int, total: Int64) -> String {
        let last = max(1, Int((total + Int64(limit) - 1) / Int64(limit)))
        var targets = [("first", 1)]
        if page > 1 { targets.append(("prev", min(page - 1, last))) }
        if page < last { targets.append(("next", page + 1)) }
        targets.append(("last", last))
        return targets.map { name, number in
            "<\(path)?\(query)&page=\(number)&limit=\(limit)>; rel=\"\(name)\""
        }.joined(separator: ", ")
    }
}
