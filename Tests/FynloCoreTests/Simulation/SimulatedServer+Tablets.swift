// What AuthenticationHandler, FeedHandler, AccessHandler and Pulse do.

import FynloCore

extension SimulatedServer {
    // MARK: Authentication

    mutating func authenticate(_ request: AuthenticationRequest, _ restaurant: RestaurantID, _ number: UInt64) {
        applicants.append(
            Applicant(
                request: request, restaurant: restaurant, connection: number,
                deadline: now.instant + SimulatedServer.patience), for: restaurant)
        if applicants.count == 1 { admitsAtEndOfTurn = true }
    }

    private func verify(_ token: String) -> AccessToken? {
        let policy = TokenPolicy(leeway: settings.limits.tokenLeeway)
        return try? AccessToken.verify(token, keys: keys, policy: policy, now: now.unixTime)
    }

    mutating func admitNext() {
        while lookupsUnderWay < SimulatedServer.concurrentLookups, signaturesLeft > 0,
            let applicant = applicants.popFirst()
        {
            guard connections[applicant.connection]?.stack.isAuthenticating == true else { continue }
            guard now.instant < applicant.deadline else {
                answer(applicant.connection, .failed(.unavailable, retryAfter: nil))
                continue
            }
            if signaturesLeft == SimulatedServer.signaturesPerTurn { outbox.wantsNextTurn = true }
            signaturesLeft -= 1
            guard let token = verify(applicant.request.token) else {
                answer(applicant.connection, .failed(.invalidToken, retryAfter: nil))
                continue
            }
            lookupsUnderWay += 1
            outbox.questions.append(.access(applicant, token))
        }
    }

    mutating func finish(_ applicant: Applicant, _ token: AccessToken, _ answer: Answer) {
        let number = applicant.connection
        guard let connection = connections[number], connection.stack.isAuthenticating else { return }
        guard case .access(let found) = answer else {
            return self.answer(number, .failed(.unavailable, retryAfter: nil))
        }
        guard let record = found, record.userIsActive,
            applicant.request.user.map({ UserID($0) == record.user }) ?? true
        else { return self.answer(number, .failed(.invalidToken, retryAfter: nil)) }
        guard let role = record.role, AccessPolicy.mayAct(record, for: applicant.restaurant) else {
            return self.answer(number, .failed(.accessDenied, retryAfter: nil))
        }
        let member = ConnectionRegistry.Member(
            number, user: record.user, role: role, device: applicant.request.deviceID)
        switch registry.admit(
            member, to: applicant.restaurant, perRestaurant: settings.limits.connectionsPerRestaurant,
            perUser: settings.limits.connectionsPerUser)
        {
        case .refused:
            seen.append("full")
            return self.answer(number, .failed(.connectionLimit, retryAfter: .seconds(5)))
        case .admitted(let replaced):
            admission.endedAuthentication()
            if let replaced { close(replaced, .replaced) }
        }
        connections[number]?.wire.isAuthenticated = true
        connections[number]?.wire.lastSequence = applicant.request.lastSequence
        let sequence = join(applicant.restaurant, head: record.head)
        if watches[applicant.restaurant]?.joined(at: record.accessVersion) == nil {
            watches[applicant.restaurant] = AccessWatch(version: record.accessVersion)
        }
        self.answer(
            number,
            .accepted(
                AcceptedIdentity(
                    user: record.user, role: role, restaurant: applicant.restaurant, sequence: sequence,
                    oldestResumable: record.oldestResumable, tokenExpiresAt: token.expiresAt,
                    tokenEndsAt: token.endOfUse(acceptedAt: now.unixTime, leeway: settings.limits.tokenLeeway))))
    }

    private mutating func answer(_ number: UInt64, _ outcome: AuthenticationOutcome) {
        withStack(number) { [now] stack, output, effects in
            stack.deliver(authentication: outcome, now: now, output: &output, effects: &effects)
        }
        receive([], commands: [], from: number)
    }

    mutating func renew(_ token: String, _ user: UserID, _ number: UInt64) {
        guard let verified = verify(token) else { return refusedRenewals.append(number) }
        outbox.questions.append(.renewal(verified, user: user, connection: number))
    }

    mutating func finishRenewal(_ token: AccessToken, _ user: UserID, _ number: UInt64, _ answer: Answer) {
        switch answer {
        case .access(.some(let record)) where record.userIsActive && record.user == user:
            deliver(renewal: .accepted(token), to: number)
        case .access: deliver(renewal: .failed(.invalidToken), to: number)
        default: deliver(renewal: .failed(.unavailable), to: number)
        }
    }

    mutating func deliver(renewal outcome: ReauthenticationOutcome, to number: UInt64) {
        withStack(number) { [now] stack, output, effects in
            stack.deliver(reauthentication: outcome, now: now, output: &output, effects: &effects)
        }
    }

    // MARK: Feeds

    private mutating func join(_ restaurant: RestaurantID, head: EventSequence) -> EventSequence {
        guard let cursor = feeds[restaurant]?.cursor else {
            feeds[restaurant] = RestaurantFeed(head: head)
            return head
        }
        hint(restaurant, head: head)
        return max(head, cursor)
    }

    mutating func hint(_ restaurant: RestaurantID, head: EventSequence) {
        if let step = feeds[restaurant]?.hint(head: head) { take(step, restaurant) }
    }

    mutating func committed(_ event: DurableEvent) {
        if let step = feeds[event.restaurant]?.committed(event) { take(step, event.restaurant) }
    }

    mutating func take(_ step: RestaurantFeed.Step, _ restaurant: RestaurantID) {
        for event in step.events { broadcast(event.frame, sequence: event.sequence, to: restaurant) }
        if let cursor = step.readAfter { outbox.questions.append(.events(restaurant, after: cursor)) }
    }

    // MARK: Replay

    mutating func replay(to number: UInt64, of restaurant: RestaurantID) {
        while let connection = connections[number], let position = connection.stack.replayPosition,
            connection.queue.count < SimulatedServer.replayBytesAhead
        {
            guard framesLeft > 0 else { return postponed.append(number) }
            guard let page = feeds[restaurant]?.replay(after: position, now: now.instant) else { return }
            switch page {
            case .events(let events):
                if framesLeft == SimulatedServer.framesPerTurn { outbox.wantsNextTurn = true }
                framesLeft -= events.count
                deliver(replay: .events(events), to: number)
                if connections[number]?.stack.replayPosition == position {
                    return violations.append("connection \(number) is sent what it has been sent before")
                }
            case .caughtUp:
                deliver(replay: .finished, to: number)
            case .lost:
                seen.append("replays lost")
                deliver(replay: .lost(head: feeds[restaurant]?.cursor ?? position), to: number)
            case .waiting:
                waiting[restaurant, default: []].append(number)
                return scheduleRead(restaurant)
            }
        }
        let isBehind = connections[number]?.stack.replayPosition != nil
        connections[number]?.resumesReplay = isBehind
    }

    private mutating func deliver(replay: Replay, to number: UInt64) {
        withStack(number) { [now] stack, output, _ in stack.deliver(replay: replay, now: now, output: &output) }
    }

    private mutating func scheduleRead(_ restaurant: RestaurantID) {
        guard let read = feeds[restaurant]?.nextReplayRead() else { return }
        reads.append((restaurant, read))
        startReads()
    }

    private mutating func startReads() {
        while readsUnderWay < 2, !reads.isEmpty {
            let (restaurant, read) = reads.removeFirst()
            guard feeds[restaurant] != nil else { continue }
            readsUnderWay += 1
            outbox.questions.append(.replay(restaurant, read))
        }
    }

    /// The rows of a replay's read; `nil`: it failed, and is made again by the next pulse.
    mutating func finish(_ read: RestaurantFeed.Read, _ restaurant: RestaurantID, _ rows: [DurableEvent]?) {
        readsUnderWay -= 1
        if let rows {
            feeds[restaurant]?.deliver(rows, to: read)
            scheduleRead(restaurant)
            askAgain(restaurant)
        } else {
            feeds[restaurant]?.replayReadFailed()
        }
        startReads()
    }

    /// Those who wait for rows ask for them again.
    private mutating func askAgain(_ restaurant: RestaurantID) {
        for number in waiting.removeValue(forKey: restaurant) ?? [] { replay(to: number, of: restaurant) }
    }

    mutating func tickFeeds() {
        for restaurant in feeds.keys.sorted(by: { $0.uuid < $1.uuid }) {
            feeds[restaurant]?.forgetTail(unusedSince: now.instant + .seconds(-5))
            askAgain(restaurant)
        }
    }

    // MARK: Pulse and access

    mutating func pulse() {
        let watched = registry.restaurants.sorted { $0.uuid < $1.uuid }
        guard !isPulsing, !watched.isEmpty else { return }
        isPulsing = true
        outbox.questions.append(.counters(watched))
    }

    mutating func found(_ counters: [StreamCounters], asked: [RestaurantID]) {
        for counters in counters { hint(counters) }
        for restaurant in asked where !counters.contains(where: { $0.restaurant == restaurant }) {
            foundAccess(restaurant, version: nil)
        }
        tickFeeds()
    }

    mutating func hint(_ counters: StreamCounters) {
        hint(counters.restaurant, head: counters.head)
        foundAccess(counters.restaurant, version: counters.accessVersion)
    }

    private mutating func foundAccess(_ restaurant: RestaurantID, version: Int64?) {
        guard watches[restaurant]?.found(version) == true else { return }
        outbox.questions.append(.rights(restaurant, registry.members(of: restaurant)))
    }

    mutating func revoke(
        _ members: [ConnectionRegistry.Member], _ restaurant: RestaurantID, _ records: [UserID: AccessRecord]
    ) {
        for member in members {
            let isInOrder = records[member.user].map {
                AccessPolicy.mayAct($0, for: restaurant) && $0.role == member.role
            }
            if isInOrder != true { close(member.connection, .accessRevoked) }
        }
    }
}
