-- Run this after a backup has been restored, and before a server is started on it.
--
-- Restored counters are lower than what tablets and caches have seen. As they grow again, a number would mean one event to
-- a tablet and another to the database; likewise a menu's version. The jump is longer than any tablet can be ahead: every
-- tablet is told to reload (resync_required), and no copy of a menu is taken for current.
begin;
update restaurant_streams
set head = head + 1000000, menu_version = menu_version + 1000000, access_version = access_version + 1000000;
commit;
