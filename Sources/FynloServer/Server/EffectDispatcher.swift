// The one switch from what connections ask for to the part that does it.

import FynloCore
import FynloIO

/// Carries out effects. Closures that carry an answer hold a connection's number, never the connection.
final class EffectDispatcher {
    private let loop: EventLoop
    private let hub: Hub
    private let authentication: AuthenticationHandler
    private let commands: CommandHandler
    private let feeds: FeedHandler
    private let nodes: NodeHandler
    private let menus: MenuEndpoint
    private let orders: OrdersEndpoint
    private let events: EventsEndpoint
    private let notifications: NotificationsEndpoint
    private let profiles: ProfileEndpoint
    private let health: HealthEndpoint
    private let metrics: MetricsEndpoint
    private let diagnostics: DiagnosticsEndpoint
    private let root: RootEndpoint
    private let log: Logger

    init(hub: Hub, handlers: HandlerParts, endpoints: EndpointParts, log: Logger) {
        loop = hub.loop
        self.hub = hub
        authentication = handlers.authentication
        commands = handlers.commands
        feeds = handlers.feeds
        nodes = handlers.nodes
        menus = endpoints.menus
        orders = endpoints.orders
        events = endpoints.events
        notifications = endpoints.notifications
        profiles = endpoints.profiles
        health = endpoints.health
        metrics = endpoints.metrics
        diagnostics = endpoints.diagnostics
        root = RootEndpoint(router: hub.settings.router)
        self.log = log
    }

    func carryOut(_ effect: Effect, for connection: ClientConnection) {
        let number = connection.id.number
        switch effect {
        case .respond(let request, let route):
            respond(to: request, route, connection: number)
        case .upgraded:
            hub.upgraded()
        case .authenticate(let request, let restaurant, _):
            authentication.authenticate(request, restaurant: restaurant, connection: number)
        case .reauthenticate(let token, let user):
            authentication.reauthenticate(token, user: user, connection: number)
        case .storage(let request, let receivedAt):
            commands.handle(request, receivedAt: receivedAt, connection: number)
        case .broadcast(let frame, let restaurant, let receivedAt):
            hub.relay(frame, receivedAt: receivedAt, to: restaurant)
            nodes.relay(frame, to: restaurant)
        case .refused(let code):
            hub.ledger.refused(code, connection)
        case .replay(let restaurant):
            feeds.replay(to: connection, of: restaurant)
        case .sessionEnded(let restaurant, let end, let wasAuthenticated):
            hub.sessionEnded(connection, restaurant: restaurant, end, wasAuthenticated: wasAuthenticated)
        }
    }

    /// Passes a request to its endpoint. Long because every endpoint has a line in this one switch.
    private func respond(to request: HTTPRequest, _ route: Route, connection number: UInt64) {
        let begin = loop.now.instant
        let reply: Reply = { [hub, log] result in
            let response: HTTPResponse
            switch result {
            case .success(let answer): response = answer
            case .failure(let error):
                hub.metrics.note(error.code)
                response = error.response
            }
            hub.metrics.note(route.endpoint, status: response.status)
            hub.metrics.requestTime.observe(SystemClock.instant - begin)
            if log.level == .debug {
                log.debug(
                    "answered",
                    [
                        "request": request.id.description, "connection": hub.name(of: number),
                        "method": request.method.name, "path": request.path,
                        "status": String(response.status),
                    ])
            }
            hub.connection(number)?.deliver(response: response)
        }
        switch route.endpoint {
        case .menu: menus.page(request, reply: reply)
        case .menuCategories: menus.categories(request, reply: reply)
        case .invalidateMenuCache: menus.invalidate(request, reply: reply)
        case .orders: orders.page(request, reply: reply)
        case .createOrder: orders.create(request, reply: reply)
        case .order: orders.order(route.order, request, reply: reply)
        case .updateOrderStatus: orders.updateStatus(route.order, request, reply: reply)
        case .events: events.events(request, reply: reply)
        case .postNotification: notifications.post(request, reply: reply)
        case .profile: profiles.profile(request, reply: reply)
        case .diagnostics: diagnostics.report(request, reply: reply)
        case .closeConnection: diagnostics.close(route.connection, request, reply: reply)
        case .metrics: metrics.page { reply(.success($0)) }
        case .healthLive:
            let response = health.live()
            loop.atEndOfTurn { reply(.success(response)) }
        case .healthReady: health.ready(isSummary: false) { reply(.success($0)) }
        case .health: health.ready(isSummary: true) { reply(.success($0)) }
        case .openAPI:
            let response = APIDocument.openAPI.response(to: request)
            loop.atEndOfTurn { reply(.success(response)) }
        case .asyncAPI:
            let response = APIDocument.asyncAPI.response(to: request)
            loop.atEndOfTurn { reply(.success(response)) }
        case .root:
            let response = root.response(to: request)
            loop.atEndOfTurn { reply(.success(response)) }
        case .clientModule:
            let response = ClientFiles.module(request)
            loop.atEndOfTurn { reply(.success(response)) }
        case .clientTypes:
            let response = ClientFiles.types(request)
            loop.atEndOfTurn { reply(.success(response)) }
        case .docs:
            let response = ConsoleEndpoint.page(.docs, request)
            loop.atEndOfTurn { reply(.success(response)) }
        case .console:
            let response = ConsoleEndpoint.page(.console, request)
            loop.atEndOfTurn { reply(.success(response)) }
        case .consoleTablet:
            let response = ConsoleEndpoint.page(.tablet, request)
            loop.atEndOfTurn { reply(.success(response)) }
        case .consoleAsset:
            let response = ConsoleEndpoint.asset(route.asset, request)
            loop.atEndOfTurn { reply(response) }
        case .echoJSON:
            let isJSON = String(validating: request.body.span) != nil && (try? JSON.scan(request.body.span)) != nil
            let error = APIError(.invalidRequest, "The body is not JSON as this server reads it.")
            loop.atEndOfTurn { reply(isJSON ? .success(HTTPResponse(status: 200)) : .failure(error)) }
        case .webSocket, .echo:
            preconditionFailure("the protocol stack answers these itself")
        }
    }
}
