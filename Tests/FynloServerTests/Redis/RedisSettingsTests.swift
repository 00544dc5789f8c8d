import Testing

@testable import FynloServer

@Suite("REDIS_URL")
struct RedisSettingsTests {
    struct Expected {
        var place: String
        var user: String?
        var password: String?
    }

    @Test(
        "is understood",
        arguments: [
            ("redis://localhost", Expected(place: "redis://localhost:6379/0")),
            ("REDIS://cache-1.example.org:6380", Expected(place: "redis://cache-1.example.org:6380/0")),
            ("redis://10.0.0.7:1/", Expected(place: "redis://10.0.0.7:1/0")),
            ("redis://10.0.0.7:65535/15", Expected(place: "redis://10.0.0.7:65535/15")),
            ("redis://h?db=4", Expected(place: "redis://h:6379/4")),
            ("redis://h/?db=4", Expected(place: "redis://h:6379/4")),
            ("redis://h/2147483647", Expected(place: "redis://h:6379/2147483647")),
            ("redis://[::1]", Expected(place: "redis://[::1]:6379/0")),
            ("redis://[2001:db8::7]:6380/1", Expected(place: "redis://[2001:db8::7]:6380/1")),
            ("redis://:pass@h", Expected(place: "redis://h:6379/0", password: "pass")),
            ("redis://:@h", Expected(place: "redis://h:6379/0")),
            ("redis://fynlo:pass@h:7/1", Expected(place: "redis://h:7/1", user: "fynlo", password: "pass")),
            ("redis://fynlo:@h", Expected(place: "redis://h:6379/0", user: "fynlo", password: "")),
            ("redis://a%3Ab:p%40%2f%3F%23%25@h", Expected(place: "redis://h:6379/0", user: "a:b", password: "p@/?#%")),
            ("redis://u:p@w:x@h", Expected(place: "redis://h:6379/0", user: "u", password: "p@w:x")),
            ("unix:/run/redis.sock", Expected(place: "unix:/run/redis.sock?db=0")),
            ("unix:///run/redis.sock?db=3", Expected(place: "unix:/run/redis.sock?db=3")),
            ("unix:/a%20b?db=0", Expected(place: "unix:/a b?db=0")),
            (
                "unix://fynlo:pass@/run/redis.sock?db=3",
                Expected(place: "unix:/run/redis.sock?db=3", user: "fynlo", password: "pass")
            ),
        ])
    func good(url: String, expected: Expected) throws {
        let settings = try RedisSettings(url)
        #expect(settings.description == expected.place)
        #expect(settings.user == expected.user.map { Array($0.utf8) })
        #expect(settings.password == expected.password.map { Array($0.utf8) })
    }

    @Test("a password may be any bytes")
    func binaryPassword() throws {
        #expect(try RedisSettings("redis://:%00%ff%0d%0a@h").password == [0, 0xff, 13, 10])
    }

    @Test(
        "is refused in one sentence that repeats nothing of it",
        arguments: [
            ("", "write redis://"),
            ("secret", "write redis://"),
            ("secret:6379", "write redis://"),
            ("redis:secret", "write redis://"),
            ("redis:/secret", "write redis://"),
            ("http://secret", "write redis://"),
            ("rediss://:secret@h", "TLS to Redis is not available yet"),
            ("redis://", "the host is a name"),
            ("redis:///1", "the host is a name"),
            ("redis://:6379", "the host is a name"),
            ("redis://secret @h x", "before the @ stands"),
            ("redis://h x", "the host is a name"),
            ("redis://h%20x", "the host is a name"),
            ("redis://::1", "the host is a name"),
            ("redis://\(String(repeating: "h", count: 254))", "the host is a name"),
            ("redis://[::1", "the bracket"),
            ("redis://[secret]", "in the brackets"),
            ("redis://[127.0.0.1]", "in the brackets"),
            ("redis://[::1]6379", "the port"),
            ("redis://h:", "the port"),
            ("redis://h:0", "the port"),
            ("redis://h:65536", "the port"),
            ("redis://h:+1", "the port"),
            ("redis://h:99999999999999999999", "the port"),
            ("redis://2001:db8::1", "the port"),
            ("redis://secret@h", "before the @ stands"),
            ("redis://:secret/x@h", "the host is a name"),
            ("redis://user:secret/x@h", "the port"),
            ("redis://user:12/secret@h", "the database"),
            ("redis://user:12?secret@h", "db is the only parameter"),
            ("redis://user:sec#ret@h", "a # within the password"),
            ("redis://user:secret%@h", "a % is followed"),
            ("redis://user:secret%4@h", "a % is followed"),
            ("redis://user:secret%zz@h", "a % is followed"),
            ("redis://h/secret", "the database"),
            ("redis://h/-1", "the database"),
            ("redis://h/1/", "the database"),
            ("redis://h/2147483648", "the database"),
            ("redis://h?db=", "the database"),
            ("redis://h?", "db is the only parameter"),
            ("redis://h?password=secret", "db is the only parameter"),
            ("redis://h?db=1&password=secret", "the database"),
            ("redis://h/1?db=1", "not in both"),
            ("redis://h\n", "a control character"),
            ("unix:", "begins with a slash"),
            ("unix:secret", "begins with a slash"),
            ("unix:/", "absolute"),
            ("unix://", "absolute"),
            ("unix://secret/run/x", "three slashes"),
            ("unix://secret@/run/x", "before the @ stands"),
            ("unix:/a%00b", "absolute"),
            ("unix:/a%ff", "absolute"),
            ("unix:/\(String(repeating: "a", count: 107))", "absolute"),
            ("unix:/a?db=x", "the database"),
        ])
    func bad(url: String, reason: String) throws {
        let error = try #require(throws: RedisError.self) { try RedisSettings(url) }
        #expect(error.description.hasPrefix("REDIS_URL cannot be used: "))
        #expect(error.description.contains(reason))
        #expect(error.description.hasSuffix(".") && !error.description.contains("secret"))
    }

    @Test("never prints the user or the password")
    func printing() throws {
        let settings = try RedisSettings("redis://fynlo:secret@h")
        var text = "\(settings) \(String(reflecting: settings)) \([settings]) \(Optional(settings) as Any)"
        dump(settings, to: &text)
        dump([settings], to: &text)
        #expect(!text.contains("secret") && !text.contains("fynlo"))
        #expect(!text.contains("\(Array("secret".utf8))") && !text.contains("\(UInt8(ascii: "s"))"))
    }
}
