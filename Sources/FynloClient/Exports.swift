// `import FynloClient` is enough for a program: the loop it runs on and the names its listeners meet (EventLoop,
// RestaurantID, ClientSession, …) come along. Only `@_exported` takes a module's members along with its types; aliases would
// leave a program that has MemberImportVisibility without them.

@_exported public import FynloCore
@_exported public import FynloIO
