// The scripts that read and change the table of slots that all nodes share. The limits of a restaurant and of a user are
// exact across nodes because Redis runs one script at a time.
//
// The table of a restaurant is a hash with one field per connection: `node-number` -> `user order device`. The slots of a
// node whose lease has expired are free (see RedisKeys for both keys). `number` is hexadecimal. `order` grows with time, so
// that a later connection has a greater one. The device comes last because it may be any text, including none.

import FynloCore

/// The scripts.
enum SlotScripts {
    /// The beginning of two scripts: reads all slots, deletes those of nodes that are gone and fields that are not slots, and
    /// calls `each` for the others. An order of 16 digits suffices until 2286 and is exact as a number of Lua.
    private static let reading = """
        local alive = {}
        local function read(each)
          local slots = redis.call('HGETALL', KEYS[1])
          for i = 1, #slots, 2 do
            local field = slots[i]
            local node = string.sub(field, 1, 16)
            if alive[node] == nil then alive[node] = redis.call('EXISTS', ARGV[1] .. node) == 1 end
            local user, order, device = string.match(slots[i + 1], '^(%S+) (%d+) (.*)$')
            if user and #order <= 16 and alive[node] then
              each(field, user, tonumber(order), device)
            else
              redis.call('HDEL', KEYS[1], field)
            end
          end
        end

        """

    /// Admits one connection. An older one of the same user and device makes room before anything is counted; it stays if
    /// there is no room nevertheless.
    ///
    ///     KEYS   slots, the node's lease
    ///     ARGV   prefix of leases, the connection, user, device, limit per restaurant, limit per user
    ///     answer "in", order, connections replaced… | "full" | "lapsed": the node has no lease and has to renew it
    static let admit = RedisScript(
        reading + """
            if redis.call('EXISTS', KEYS[2]) == 0 then return {'lapsed'} end
            local time = redis.call('TIME')
            local last = time[1] * 1000000 + time[2]
            local replaced, count, ofUser = {}, 0, 0
            read(function(field, user, order, device)
              last = math.max(last, order + 1)
              if field == ARGV[2] or (user == ARGV[3] and device ~= '' and device == ARGV[4]) then
                replaced[#replaced + 1] = field
              else
                count = count + 1
                if user == ARGV[3] then ofUser = ofUser + 1 end
              end
            end)
            if count >= tonumber(ARGV[5]) or ofUser >= tonumber(ARGV[6]) then return {'full'} end
            local answer = {'in', string.format('%.0f', last)}
            for _, field in ipairs(replaced) do
              redis.call('HDEL', KEYS[1], field)
              answer[#answer + 1] = field
            end
            redis.call('HSET', KEYS[1], ARGV[2], ARGV[3] .. ' ' .. answer[2] .. ' ' .. ARGV[4])
            return answer
            """)

    /// Readmits connections that a node has let in already, oldest first: each is kept if there is room for it and no newer
    /// one of the same user and device.
    ///
    ///     KEYS   slots, the node's lease
    ///     ARGV   prefix of leases, limit per restaurant, limit per user, then per connection: it, user, order, device
    ///     answer "lapsed", or per connection "kept" | "full" | "replaced"; then the connections that these replaced
    static let readmit = RedisScript(
        reading + """
            if redis.call('EXISTS', KEYS[2]) == 0 then return {'lapsed'} end
            local mine, count, ofUser, devices = {}, 0, {}, {}
            for i = 4, #ARGV, 4 do mine[ARGV[i]] = true end
            read(function(field, user, order, device)
              if mine[field] then return end
              count = count + 1
              ofUser[user] = (ofUser[user] or 0) + 1
              if device ~= '' then devices[user .. ' ' .. device] = {field, order} end
            end)
            local answer, replaced = {}, {}
            for i = 4, #ARGV, 4 do
              local field, user, order, device = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
              local name = user .. ' ' .. device
              local rival = device ~= '' and devices[name]
              local freed = rival and 1 or 0
              if rival and rival[2] > tonumber(order) then
                answer[#answer + 1] = 'replaced'
              elseif count - freed >= tonumber(ARGV[2]) or (ofUser[user] or 0) - freed >= tonumber(ARGV[3]) then
                answer[#answer + 1] = 'full'
              else
                answer[#answer + 1] = 'kept'
                if rival then
                  redis.call('HDEL', KEYS[1], rival[1])
                  replaced[#replaced + 1] = rival[1]
                end
                redis.call('HSET', KEYS[1], field, user .. ' ' .. order .. ' ' .. device)
                count = count - freed + 1
                ofUser[user] = (ofUser[user] or 0) - freed + 1
                if device ~= '' then devices[name] = {field, tonumber(order)} end
                mine[field] = nil
              end
            end
            for field in pairs(mine) do redis.call('HDEL', KEYS[1], field) end
            for _, field in ipairs(replaced) do answer[#answer + 1] = field end
            return answer
            """)

    /// Renews a node's lease.
    ///
    ///     KEYS   the node's lease
    ///     ARGV   lifetime in ms
    ///     answer 1: the lease had not expired | 0: it is new
    static let renew = RedisScript(
        """
        local wasThere = redis.call('EXISTS', KEYS[1])
        redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
        return wasThere
        """)
}

extension ConnectionID {
    /// Reads the name of a slot; `nil` for anything else.
    init?(slotName: [UInt8]) {
        let parts = String(decoding: slotName, as: UTF8.self).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].utf8.count == 16, let node = UInt64(parts[0], radix: 16),
            let number = UInt64(parts[1], radix: 16)
        else { return nil }
        self.init(node: node, number: number)
    }
}
