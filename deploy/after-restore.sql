-- Run this after a backup has been restored and before a server is started on it.
--
-- Restored counters are lower than the numbers that tablets and caches have seen. As they grow again, a number would mean one
-- event to a tablet and another to the database; the same holds for a menu's version. This script raises them by more than any
-- tablet can be ahead: every tablet is told to reload (resync_required), and no cached menu counts as current.
begin;
update restaurant_streams
set head = head + 1000000, menu_version = menu_version + 1000000, access_version = access_version + 1000000;
commit;
