#!/usr/bin/env python3
"""The console and the tablet, in a real browser against a real server.

usage: console_tests.py --programs DIRECTORY [--screenshots DIRECTORY] [unittest's arguments, such as -k NAME]

DATABASE_URL and REDIS_URL name an empty database and a Redis: scripts/test --browser starts them. Needs chromium and
chromedriver; only the standard library is used.
"""
import argparse
import pathlib
import random
import signal
import subprocess
import sys
import time
import unittest

from stage import CASA, ELIA, ELIA_MANAGER, MANAGER, OTHER_WAITER, PLATFORM_OWNER, WAITER, Stage, unique
from webdriver import ENTER, ESCAPE, SPACE, TAB, Browser

PAGE_BYTES = 150 * 1024
HOSTILE = "<script>window.pwned = 1</script><img src=x onerror=\"window.pwned = 2\">"


class PageTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stage = Stage(options.programs)
        cls.addClassCleanup(cls.stage.close)
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        self.browser.console_log()
        self.windows = []

    def tearDown(self):
        for window in self.windows:
            window.close()
        for tablet in list(self.stage.tablets):
            self.stage.end(tablet)
        for process in list(self.stage.others):
            process.send_signal(signal.SIGCONT)
            self.stage.end_other(process)
        self.windows = []
        self.browser.current = None
        self.browser.call("POST", "/window", {"handle": self.browser.call("GET", "/window/handles")[0]})
        complaints = [line for line in self.browser.console_log() if not self.is_expected(line)]
        self.assertEqual(complaints, [], "the browser complained")

    @staticmethod
    def is_expected(line):
        """True for the refusals and the unreachable server that a test causes on purpose, which the browser logs too."""
        return any(word in line for word in (
            "status of 401", "status of 403", "status of 409", "ERR_CONNECTION", "WebSocket connection to", "ERR_NETWORK"))

    def expect_cases(self, name):
        """Runs the cases of one of the console's modules, from a file beside this one; none may fail."""
        window = self.window("/console")
        module = window.wait(
            "the module",
            "return performance.getEntriesByType('resource').map(e => e.name).find(n => n.includes(`/${arguments[0]}.`))", name)
        cases = pathlib.Path(__file__).with_name(f"{name}_cases.js").read_text()
        script = "const theirs = arguments; return (async function () {" + cases + "}).apply(null, theirs)"
        self.assertEqual(window.run(script, module), [])

    def window(self, path):
        window = self.browser.window(self.stage.url + path)
        self.windows.append(window)
        return window

    def signed_in(self, path="/console", person=MANAGER, restaurant=CASA, width=1280):
        window = self.window(f"{path}#{restaurant}")
        window.resize(width, 900)
        self.sign_in(window, person.token())
        window.wait_text("#status", "Live")
        return window

    @staticmethod
    def sign_in(window, token):
        window.type("#token", token)
        window.click("#sign-in button")

    @staticmethod
    def card(order, status=None):
        column = f"[data-status={status}] " if status else ""
        return f"{column}[data-order='{order['id']}']"

    @staticmethod
    def confirm(window):
        window.click("dialog button[type=submit]")

    def expect_no_sideways_scroll(self, window):
        wide = window.run(
            "return [...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && !e.closest('.unseen, .skip')"
            " && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + '.' + e.className + '#' + e.id)")
        self.assertEqual(wide, [])
        self.assertLessEqual(window.run("return document.scrollingElement.scrollWidth"), 360)


class ConsoleTests(PageTests):
    def test_signs_in_with_a_token_that_stays_in_the_tab(self):
        window = self.signed_in()
        self.assertIn("Casa Azul", window.text("#restaurant"))
        self.assertIn("José Ángel Núñez, manager", window.text("#person"))
        window.wait_text("#board", "Table")
        window.wait_text("#connections", "(this page)")
        window.wait_text("#report", "WebSocket Diagnostic Report")
        self.assertEqual(window.run("return localStorage.length + document.cookie.length"), 0)
        window.reload()
        window.wait_text("#status", "Live")
        other = self.window("/console")
        other.wait_shown("#sign-in")
        window.click("#sign-out")
        window.wait_shown("#sign-in")
        self.assertEqual(window.run("return sessionStorage.length"), 0)

    def test_shows_a_tablet_come_and_go(self):
        window = self.signed_in()
        window.wait_text("#connections", "(this page)")
        before = window.count("#connections tr[data-connection]")
        tablet = self.stage.tablet(WAITER)
        window.wait_text("#connections", "kitchen")
        self.assertEqual(window.count("#connections tr[data-connection]"), before + 1)
        self.stage.end(tablet)
        window.wait(
            "the tablet to leave", "return ![...document.querySelectorAll('#connections tr')]"
            ".some(row => row.innerText.includes('kitchen'))")
        self.assertEqual(window.text("#tablets"), str(before))

    def test_moves_an_order_and_the_tablet_shows_it_and_the_other_way_round(self):
        order = self.stage.order(table_number="31")
        console, tablet = self.signed_in(), self.signed_in("/console/tablet", WAITER)
        for window in (console, tablet):
            window.wait_shown(self.card(order, "draft"))
        console.click(self.card(order) + " footer button")
        self.assertIn("From draft to pending.", console.text("dialog"))
        self.confirm(console)
        for window in (console, tablet):
            window.wait_shown(self.card(order, "pending"))
        console.wait_text("#notices", f"Order {order['order_number']} is pending.")
        console.wait_text("#events", f"Order {order['order_number']}: draft → pending")
        tablet.choose(self.card(order) + " select", "ready")
        for window in (console, tablet):
            window.wait_shown(self.card(order, "ready"))
        tablet.choose(self.card(order) + " select", "completed")
        console.wait_gone(self.card(order))

    def test_shows_a_new_order_of_a_tablet(self):
        console, tablet = self.signed_in(), self.signed_in("/console/tablet", WAITER)
        customer = f"Anna {unique()}"
        tablet.click("#products button")
        tablet.click("#lines button:last-of-type")
        tablet.type("#table", "7")
        tablet.type("#customer", customer)
        total = tablet.text("#sum")
        tablet.click("#place")
        card = console.wait_text("[data-status=draft] .card", customer)
        self.assertIn(f"Table 7 · {customer}", card)
        self.assertIn(total, card)
        tablet.wait_text("#notices", "is placed.")
        self.assertEqual(tablet.text("#queue-count"), "0")

    def test_shows_what_tablets_say_as_text(self):
        order = self.stage.order(customer_name=HOSTILE, notes=HOSTILE)
        windows = [self.signed_in(), self.signed_in("/console/tablet", WAITER)]
        number = windows[0].count("script")
        windows[1].click("#products button")
        windows[1].type("#customer", HOSTILE)
        windows[1].click("#place")
        self.stage.ask("POST", "/api/v1/notifications", {"restaurant_id": CASA, "title": HOSTILE, "message": HOSTILE})
        windows[0].wait_text("#events", HOSTILE)
        for window in windows:
            self.assertIn(HOSTILE, window.wait_text(self.card(order), HOSTILE))
            window.wait(
                "the tablet's own order",
                "return [...document.querySelectorAll('.card .who')].filter(e => e.innerText.includes(arguments[0])).length > 1",
                HOSTILE)
            self.assertIsNone(window.run("return window.pwned ?? null"))
            self.assertEqual((window.count("script"), window.count("img[src=x]")), (number, 0))
            # Nor could it be, by a mistake of ours.
            self.assertEqual(
                window.run("try { document.body.innerHTML = '<p>'; return 'done' } catch (e) { return e.name }"), "TypeError")
        self.browser.console_log()  # which has that last attempt

    def test_says_that_the_server_is_gone_and_goes_on_with_nothing_missing(self):
        order, other = self.stage.order(), self.stage.order()
        window = self.signed_in()
        window.wait_shown(self.card(order, "draft"))
        head = self.stage.ask("GET", f"/api/v1/orders?restaurant_id={CASA}&limit=1")[1]["X-Event-Seq"]
        self.stage.kill()
        sentence = window.wait_text("#lost", "Connection lost at")
        self.assertIn("not live", sentence)
        window.wait_text("#status", "Not live")
        window.wait_text("#orders-heading + .as-of", "as of")
        window.wait_text("#connections-heading + .as-of", "as of", limit=20)
        self.assertEqual(window.run("return getComputedStyle(document.querySelector('#board')).opacity"), "0.6")
        window.click(self.card(order) + " footer button")
        self.confirm(window)
        window.wait_text("dialog .problem", "There is no connection: nothing was changed.")
        window.press(ESCAPE)
        # Meanwhile another program changes orders.
        self.stage.sql(f"update orders set status = 'preparing' where id = '{order['id']}'")
        self.stage.sql(f"delete from orders where id = '{other['id']}'")
        self.stage.sql(f"insert into orders (restaurant_id, customer_name) values ('{CASA}', 'While you were away')")
        self.stage.start()
        window.wait_text("#status", "Live", limit=40)
        window.wait_gone("#lost")
        window.wait_shown(self.card(order, "preparing"))
        window.wait_gone(self.card(other))
        window.wait_text("#board", "While you were away")
        window.wait_text("#connections-heading + .as-of", "live")
        sequences = window.run("return [...document.querySelectorAll('#events li[data-seq]')].map(e => +e.dataset.seq)")
        self.assertEqual(sequences[:3], [int(head) + 3, int(head) + 2, int(head) + 1])
        self.assertEqual(sequences, sorted(set(sequences), reverse=True))

    def wait_history(self, condition, person=MANAGER, restaurant=CASA):
        """Waits until the condition holds for `all`, the histories in the diagnostics of all servers."""
        window = self.window("/console")
        window.wait(
            condition,
            "return fetch(arguments[0], {headers: {Authorization: 'Bearer ' + arguments[1]}}).then(answer => answer.json())"
            ".then(body => { const all = [body, ...body.nodes].map(node => node.history); return " + condition + "; })",
            f"/api/v1/websocket/diagnostics?history=true&restaurant_id={restaurant}", person.token(), limit=40)

    @staticmethod
    def line(window, chart):
        """The number of points of a chart's first line that are above zero."""
        return window.run(
            "const bottom = +document.querySelector('#' + arguments[0] + ' line.grid').getAttribute('y1');"
            "const text = document.querySelector('#' + arguments[0] + ' path.line-0').getAttribute('d');"
            "return [...text.matchAll(/[ML][\\d.]+ ([\\d.]+)/g)].filter(found => +found[1] < bottom - .2).length", chart)

    def test_charts_what_happened_before_the_page_was_opened(self):
        tablets = [self.stage.tablet(WAITER), self.stage.tablet(PLATFORM_OWNER, ELIA, "pos")]
        self.wait_history("all.some(each => each.heartbeats_received.some(number => number > 0))")
        order = self.stage.order()
        for status in ("pending", "preparing", "ready", "completed"):
            self.stage.move(order, status)
        self.stage.ask("GET", f"/api/v1/menu?restaurant_id={CASA}&limit=3")
        self.wait_history("all.some(each => each.deliveries.flat().reduce((sum, [, number]) => sum + number, 0) >= 4)")
        for tablet in tablets:
            self.stage.end(tablet)
        for person, restaurant in ((MANAGER, CASA), (PLATFORM_OWNER, CASA), (PLATFORM_OWNER, "")):
            window = self.signed_in(person=person, restaurant=restaurant)
            self.assertRegex(window.wait_text("#delivery", "ms"), r"^[\d.,]+ ms$")
            self.assertRegex(window.text("#delivery-note"), r"^p95 of \d+ events in a minute until \d\d:\d\d:\d\d$")
            for chart in ("chart-messages", "chart-delivery", "chart-heartbeats", "chart-cache"):
                window.wait_shown(f"#{chart} svg path")
                label = window.run("return document.querySelector(`#${arguments[0]} svg`).getAttribute('aria-label')", chart)
                self.assertRegex(label, r"last 15 minutes\. .* at \d\d:\d\d:\d\d\.$")
            for chart in ("chart-messages", "chart-delivery", "chart-heartbeats"):
                self.assertGreater(self.line(window, chart), 0, chart)
            self.assertRegex(window.text("#chart-delivery .legend"), r"p50 [\d.,]+\s+p95 [\d.,]+\s+p99 [\d.,]+")
        # Those of another restaurant have nothing to do with it.
        window = self.signed_in(person=ELIA_MANAGER, restaurant=ELIA)
        window.wait_text("#delivery-note", "no event in a minute until")
        self.assertEqual(window.text("#delivery"), "–")

    def test_adds_up_what_several_servers_measured_and_says_which_one_is_missing(self):
        process, url = self.stage.start_other()
        self.stage.tablet(WAITER, url=url)
        self.wait_history("all.length === 2 && all[1].heartbeats_received.some(number => number > 0)")
        window = self.signed_in()
        window.wait_text("#connections", "kitchen")
        window.wait("heartbeats", "return document.querySelector('#heartbeats').innerText.includes('%')")
        self.assertGreater(self.line(window, "chart-heartbeats"), 0)
        process.send_signal(signal.SIGSTOP)
        window.wait_text("#nodes-note", "1 server did not answer", limit=20)
        window.wait_text("#charts-note", "Nothing is drawn from ", limit=20)
        # None of the numbers goes on without it.
        window.wait("no number", "return ['messages', 'heartbeats'].every(id => document.getElementById(id).innerText === '–')", limit=40)
        process.send_signal(signal.SIGCONT)
        window.wait(
            "it to answer", "return !document.querySelector('#charts-note').innerText.includes('Nothing is drawn')", limit=20)

    def test_adds_up_histories(self):
        self.expect_cases("history")

    def test_says_why_somebody_may_not_sign_in(self):
        window = self.window("/console")
        window.wait_shown("#sign-in")
        for token, sentence in (
                ("nonsense", "The token is invalid or has expired, or its user may not sign in."),
                (MANAGER.token(seconds=-3600), "This token expired on "),
                (WAITER.token(), "The console is for managers and owners; Liam O'Connor is signed up as employee.")):
            window.run("document.querySelector('#token').value = ''")
            self.sign_in(window, token)
            text = window.wait_text("#sign-in-problem", sentence)
            self.assertEqual(text.count("."), 1, text)
            self.assertFalse(window.run("return document.querySelector('#app').checkVisibility()"))
        self.assertEqual(window.run("return sessionStorage.length"), 0)

    def test_ends_with_a_sentence_when_the_token_does(self):
        window = self.window(f"/console#{CASA}")
        # Within the leeway: valid for some more seconds.
        self.sign_in(window, MANAGER.token(seconds=-18))
        window.wait_text("#status", "Live")
        window.wait_text("#sign-in-problem", "This token expired on ", limit=30)
        window.wait_gone("#app")
        self.assertEqual(window.text("#board"), "")

    def test_takes_a_new_token_before_the_old_one_ends(self):
        window = self.window(f"/console#{CASA}")
        self.sign_in(window, MANAGER.token(seconds=60))
        window.wait_text("#expiring", "Your token expires at ")
        window.click("#renew")
        for token, sentence in (
                (WAITER.token(), "Invalid authentication token"), (MANAGER.token(seconds=-3600), "This token expired on ")):
            window.run("document.querySelector('dialog input').value = ''")
            window.type("dialog input", token)
            self.confirm(window)
            window.wait_text("dialog .problem", sentence)
        window.run("document.querySelector('dialog input').value = ''")
        window.type("dialog input", MANAGER.token())
        self.confirm(window)
        window.wait_text("#notices", "The new token is in use.")
        window.wait_gone("#expiring")

    def test_says_that_there_is_no_room_and_gets_in_when_there_is(self):
        tablets = [self.stage.tablet(MANAGER, client="management") for _ in range(5)]
        other = self.signed_in(person=PLATFORM_OWNER)
        other.wait("five", "return document.querySelectorAll('#connections tr[data-connection]').length === 6")
        window = self.window(f"/console#{CASA}")
        self.sign_in(window, MANAGER.token())
        window.wait_text("#lost", "Connection limit exceeded.")
        self.assertIn("No connection since", window.text("#lost"))
        self.stage.end(tablets[0])
        window.wait_text("#status", "Live")
        window.wait_text("#board", "Table")

    def test_does_what_managers_do_and_shows_the_refusals_of_the_server(self):
        tablet = self.stage.tablet(OTHER_WAITER, output=subprocess.PIPE)
        window = self.signed_in()
        window.wait_text("#connections", "kitchen")
        window.click("#notify")
        window.type("dialog input", "Kitchen")
        window.type("dialog textarea", "No more avocados")
        self.confirm(window)
        window.wait_text("#notices", "Sent to every tablet, as event ")
        window.wait_text("#events", "Kitchen: No more avocados")
        self.assertIn("No more avocados", tablet.stdout.readline())
        window.click("#invalidate")
        self.confirm(window)
        window.wait_text("#notices", "Menu cache invalidated.")
        order = self.stage.order()
        window.wait_shown(self.card(order, "draft"))
        # The order changes while the dialog is open: the server decides.
        window.click(self.card(order) + " footer button")
        self.stage.move(order, "completed")
        window.wait_gone(self.card(order))
        self.confirm(window)
        window.wait_text("dialog .problem", "It is completed now.")
        window.press(ESCAPE)
        window.wait_gone("dialog")
        row = window.run(
            "return [...document.querySelectorAll('#connections tr')].find(r => r.innerText.includes('kitchen')).dataset.connection")
        window.click(f"[data-connection='{row}'] button")
        self.confirm(window)
        window.wait_text("#notices", "is closed.")
        window.wait_gone(f"[data-connection='{row}']")
        tablet.wait(10)
        self.stage.end(tablet)

    def test_shows_platform_owners_all_restaurants(self):
        tablets = [self.stage.tablet(WAITER), self.stage.tablet(PLATFORM_OWNER, ELIA, "pos")]
        window = self.signed_in(person=PLATFORM_OWNER, restaurant="")
        window.wait_text("#connections", "Casa Azul")
        window.wait_text("#connections", "Ελιά & Κάρβουνο")
        self.assertFalse(window.run("return document.querySelector('#board').checkVisibility()"))
        window.run("[...document.querySelectorAll('#connections a')].find(a => a.innerText.includes('Ελιά')).click()")
        self.assertEqual(window.run("return document.querySelector('#restaurant').value"), ELIA)
        window.wait_text("#board", "preparing")
        window.wait_text("#status", "Live")
        window.wait_text("#connections", "(this page)")
        self.assertNotIn("Casa Azul", window.text("#connections"))
        for tablet in tablets:
            self.stage.end(tablet)

    def test_is_light(self):
        for path in ("/console", "/console/tablet"):
            window = self.browser.window()
            self.windows.append(window)
            self.browser.performance_log()
            window.developer_tools("Network.clearBrowserCache")
            # The restaurant in which the other tests make no orders.
            window.open(f"{self.stage.url}{path}#{ELIA}")
            self.sign_in(window, ELIA_MANAGER.token())
            window.wait_text("#status", "Live")
            window.wait_text("#board", "Table")
            if path == "/console/tablet":
                window.wait_shown("#products button")
            addresses, sizes, pages = {}, {}, 0
            for event in self.browser.performance_log():
                values = event["params"]
                if event["method"] == "Network.requestWillBeSent":
                    addresses[values["requestId"]] = values["request"]["url"]
                if event["method"] == "Network.loadingFinished" and values["requestId"] in addresses:
                    address = addresses[values["requestId"]]
                    sizes[address] = values["encodedDataLength"]
                    if "/api/" not in address:
                        pages += values["encodedDataLength"]
            self.assertTrue(all(address.startswith(self.stage.url) for address in sizes), sizes)
            figures[path] = (pages, sum(sizes.values()))
            self.assertGreater(pages, 40_000)
            self.assertLess(pages, PAGE_BYTES, sizes)
            self.assertLess(sum(sizes.values()), PAGE_BYTES, sizes)

    def test_fits_a_phone(self):
        for path, person in (("/console", MANAGER), ("/console/tablet", WAITER)):
            window = self.window(path)
            window.resize(360, 740)
            window.wait_shown("#sign-in")
            self.expect_no_sideways_scroll(window)
            self.sign_in(window, person.token())
            window.wait_text("#status", "Live")
            window.wait_text("#board", "Table")
            self.expect_no_sideways_scroll(window)
            if path == "/console":
                window.click("#notify")
                self.expect_no_sideways_scroll(window)

    def test_is_usable_by_keyboard_and_named_for_screen_readers(self):
        window = self.window(f"/console#{CASA}")
        window.wait_shown("#sign-in")
        self.assertEqual(window.run("return document.activeElement.id"), "token")
        window.type("#token", MANAGER.token() + ENTER)
        window.wait_text("#status", "Live")
        window.wait_text("#board", "Table")
        wanted = {"restaurant", "sign-out", "refresh", "copy", "notify", "invalidate"}
        reached = set()
        for _ in range(400):
            window.press(TAB)
            reached.add(window.run("return document.activeElement.id || document.activeElement.dataset.part || ''"))
            if wanted | {"next", "others"} <= reached:
                break
        self.assertLessEqual(wanted | {"next", "others"}, reached)
        window.run("document.querySelector('#invalidate').focus()")
        window.press(ENTER)
        window.wait_shown("dialog[open]")
        window.press(ESCAPE)
        window.wait_gone("dialog")
        self.assertEqual(window.run("return document.activeElement.id"), "invalidate")
        window.press(SPACE)
        window.wait_shown("dialog[open]")
        window.press(ENTER)
        window.wait_text("#notices", "Menu cache invalidated.")
        self.expect_names(window)
        self.expect_names(self.signed_in("/console/tablet", WAITER))

    def expect_names(self, window):
        """Every control has a name that the browser passes to assistive technology."""
        window.developer_tools("Accessibility.enable")
        tree = window.developer_tools("Accessibility.getFullAXTree")["nodes"]
        roles = {"button", "combobox", "textbox", "switch", "log", "img", "dialog", "link"}
        nodes = [node for node in tree if not node["ignored"] and node["role"]["value"] in roles]
        self.assertGreater(len(nodes), 10)
        nameless = [node["role"]["value"] for node in nodes if not node.get("name", {}).get("value")]
        # Pictures beside a heading that says the same have none, on purpose.
        self.assertEqual([role for role in nameless if role != "img"], [])


class ClientTests(PageTests):
    def test_keeps_the_rules_of_the_contract(self):
        self.expect_cases("client")


class TabletTests(PageTests):
    def test_queues_while_it_is_offline_and_does_each_thing_once(self):
        order = self.stage.order()
        tablet, console = self.signed_in("/console/tablet", WAITER), self.signed_in()
        tablet.wait_shown(self.card(order, "draft"))
        tablet.click("#offline")
        tablet.wait_text("#lost", "Connection lost at")
        tablet.wait_text("#state", "RECONNECTING")
        tablet.wait_text("#backoff", "attempt")
        tablet.click(self.card(order) + " footer button")
        tablet.wait_text(self.card(order), "pending: queued")
        customer = f"Offline {unique()}"
        tablet.click("#products button")
        tablet.type("#customer", customer)
        tablet.click("#place")
        tablet.wait_text("#queue", f"Order {order['order_number']} to pending")
        self.assertEqual(tablet.text("#queue-count"), "2")
        tablet.wait_text("#log", "Attempt 2 failed")
        # Other tablets go on: this one cannot know, and must not look live.
        other = self.stage.order()
        console.wait_shown(self.card(other, "draft"))
        self.assertEqual(tablet.count(self.card(other)), 0)
        tablet.wait_shown(self.card(order, "draft"))
        tablet.click("#offline")
        tablet.wait_text("#status", "Live")
        tablet.wait_text("#log", "Resumed: 1 missed event sent again")
        for window in (tablet, console):
            window.wait_shown(self.card(order, "pending"))
            window.wait_shown(self.card(other, "draft"))
            window.wait_text("[data-status=draft]", customer)
        tablet.wait("an empty queue", "return document.querySelector('#queue-count').innerText === '0'")
        types = [event["type"] for event in self.stage.events_of(order)]
        self.assertEqual(types, ["order.created", "order.status_changed"])
        drafts = self.stage.ask("GET", f"/api/v1/orders?restaurant_id={CASA}&status=draft&limit=100")[0]
        self.assertEqual([one["customer_name"] for one in drafts].count(customer), 1)

    def test_sends_again_what_had_no_answer_and_it_is_done_once(self):
        order = self.stage.order()
        tablet = self.signed_in("/console/tablet", WAITER)
        tablet.wait_shown(self.card(order, "draft"))
        # The command reaches the server, but its answer does not reach the tablet.
        tablet.run(
            "const send = WebSocket.prototype.send; WebSocket.prototype.send = function (text) {"
            "  send.call(this, text);"
            "  if (text.includes('order.status_update')) {"
            "    WebSocket.prototype.send = send; document.querySelector('#offline').click(); } };")
        tablet.click(self.card(order) + " footer button")
        tablet.wait_text("#state", "RECONNECTING")
        self.assertEqual(tablet.text("#queue-count"), "1")
        tablet.click("#offline")
        tablet.wait_shown(self.card(order, "pending"))
        tablet.wait_text("#log", "acknowledged after 2 attempts, done once")
        changes = [event for event in self.stage.events_of(order) if event["type"] == "order.status_changed"]
        self.assertEqual(len(changes), 1)

    def test_keeps_its_queue_when_the_page_is_loaded_anew(self):
        order = self.stage.order()
        tablet = self.signed_in("/console/tablet", WAITER)
        tablet.wait_shown(self.card(order, "draft"))
        tablet.click("#offline")
        tablet.wait_text("#state", "RECONNECTING")
        tablet.choose(self.card(order) + " select", "preparing")
        tablet.wait_text("#queue-count", "1")
        tablet.reload()
        tablet.wait_shown(self.card(order, "preparing"))
        tablet.wait("an empty queue", "return document.querySelector('#queue-count').innerText === '0'")

    def test_shows_the_refusal_of_what_it_queued(self):
        order = self.stage.order()
        tablet = self.signed_in("/console/tablet", WAITER)
        tablet.wait_shown(self.card(order, "draft"))
        tablet.click("#offline")
        tablet.wait_text("#state", "RECONNECTING")
        tablet.choose(self.card(order) + " select", "ready")
        self.stage.move(order, "completed")
        tablet.click("#offline")
        tablet.wait_text("#notices", f"Order {order['order_number']} to ready: ")
        tablet.wait_gone(self.card(order))
        self.assertEqual(tablet.text("#queue-count"), "0")


class DocsTests(PageTests):
    def docs(self, anchor="", width=1280):
        window = self.window(f"/docs{anchor}")
        window.resize(width, 900)
        window.wait("the reference", "return document.querySelectorAll('#contents li').length > 10")
        return window

    def document(self, name):
        return self.stage.ask("GET", f"/{name}.json")[0]

    @staticmethod
    def sections(window):
        return set(window.run("return [...document.querySelectorAll('main section')].map(e => e.id)"))

    def test_shows_every_endpoint_and_every_message(self):
        window = self.docs()
        endpoints, messages = self.document("openapi"), self.document("asyncapi")
        expected = {
            f"{method}-{path}" for path, item in endpoints["paths"].items() for method in item
            if method in ("get", "post", "put", "patch", "delete")}
        self.assertGreater(len(expected), 15)
        shown = self.sections(window)
        self.assertLessEqual(expected, shown)
        names = [message["name"] for message in messages["components"]["messages"].values()]
        self.assertEqual(len(shown - expected - {"error-codes", "close-codes"}), len(names))
        self.assertLessEqual(set(names), shown)
        self.assertIn(endpoints["info"]["version"], window.text("#version"))
        for code in endpoints["components"]["schemas"]["ErrorCode"]["enum"]:
            self.assertIn(code, window.text("#error-codes"))
        self.assertEqual(window.run("return document.body.innerText.includes('undefined') || document.body.innerText.includes('[object')"), False)
        # References are followed: the members of a new order's items, and of an order in an answer.
        text = window.run("return document.getElementById('post-/api/v1/orders').textContent")
        for words in ("items[].quantity", "Idempotency-Key", "1 to 99,999", "required", "order_number", "curl -X POST", '"quantity":'):
            self.assertIn(words, text)

    def test_filters(self):
        window = self.docs()
        every = window.count("#contents li")
        window.type("#filter", "menu cache")
        window.wait("fewer", "return document.querySelectorAll('#contents li:not([hidden])').length < 5")
        self.assertIn("/api/v1/menu/cache/invalidate", window.text("#contents"))
        self.assertNotIn("/api/v1/orders", window.text("#contents"))
        self.assertNotIn("/api/v1/orders", window.text("main"))
        self.assertRegex(window.text("#found"), rf"^\d+ of {every}$")
        window.press(ESCAPE)
        self.assertEqual(window.count("#contents li:not([hidden])"), every)
        self.assertEqual(window.text("#found"), "")
        # A link to what is filtered out shows it all the same.
        window.type("#filter", "nothing has this word")
        self.assertEqual(window.text("#found"), f"0 of {every}")
        window.run("location.hash = '#ping'")
        window.wait_shown("#ping")

    def test_leads_to_what_the_address_names(self):
        for anchor in ("#get-/api/v1/orders/{order_id}", "#patch-/api/v1/orders/%7Border_id%7D/status", "#ping"):
            window = self.docs(anchor)
            window.wait(
                anchor, "const e = document.getElementById(decodeURIComponent(location.hash.slice(1))).getBoundingClientRect();"
                "return e.top > 0 && e.top < 200")
        window.click("#contents a[href='#get-/api/v1/menu']")
        window.wait("the link", "return location.hash === '#get-/api/v1/menu'")

    def test_copies_examples_and_fits_a_phone_and_the_dark(self):
        window = self.docs()
        window.click("[id='get-/api/v1/menu'] .example button")
        window.wait_text("#notices", "Copied.")
        for width, scheme in ((360, "light"), (360, "dark"), (1280, "dark")):
            window.resize(width, 740, scheme)
            window.run("for (const e of document.querySelectorAll('details')) e.open = true")
            if width == 360:
                self.expect_no_sideways_scroll(window)
            self.assertLessEqual(window.run("return document.scrollingElement.scrollWidth"), width)

    def test_is_light_and_comes_from_this_server_alone(self):
        window = self.docs()
        sizes = dict(window.run(
            "return [...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]"
            ".map(e => [e.name, e.encodedBodySize])"))
        self.assertTrue(all(address.startswith(self.stage.url) for address in sizes), sizes)
        pages = sum(size for address, size in sizes.items() if not address.endswith(("/openapi.json", "/asyncapi.json")))
        self.assertGreater(pages, 20_000)
        self.assertLess(pages, 60 * 1024, sizes)

    def test_the_front_page_leads_to_it(self):
        window = self.window("/")
        window.click("a[href='/docs']")
        window.wait("the reference", "return document.querySelectorAll('#contents li').length > 10")

    def test_the_client_is_a_module(self):
        window = self.docs()
        kinds = window.run(
            "return import('/client.js').then(module => [typeof module.FynloClient, typeof module.VERSION])")
        self.assertEqual(kinds, ["function", "string"])


class Pictures(PageTests):
    """The pictures of the documentation; only with --screenshots."""

    @staticmethod
    def is_expected(line):
        return True

    def test_pictures(self):
        tablets = [self.stage.tablet(person, client=client) for person, client in (
            (WAITER, "pos"), (OTHER_WAITER, "pos"), (WAITER, "kitchen"))]
        console, tablet = self.signed_in(width=1440), self.signed_in("/console/tablet", WAITER, width=1440)
        console.wait_text("#board", "Table")
        end = time.monotonic() + options.settle
        customers = ["Anna", "Ben", "Chiara", "Deniz", "Eva", "Farid"]
        moving, number = [], 0
        # A lively evening.
        while time.monotonic() < end:
            number += 1
            if number % 6 == 1:
                moving.append(self.stage.order(
                    table_number=str(2 + number % 17), customer_name=customers[number // 6 % len(customers)]))
            order = random.choice(moving)
            statuses = ["pending", "confirmed", "preparing", "ready", "served", "completed"]
            if order["status"] != "completed":
                after = statuses[statuses.index(order["status"]) + 1] if order["status"] in statuses else "pending"
                order["status"] = self.stage.move(order, after)["status"]
            for _ in range(random.randrange(4)):
                self.stage.ask("GET", f"/api/v1/menu?restaurant_id={CASA}&limit=5&page={random.randrange(1, 9)}")
            tablet.wait("the next moment", "return performance.now() > arguments[0]",
                        tablet.run("return performance.now() + 400 + 900 * Math.random()"))
        tablet.run("document.querySelectorAll('#products button')[1].click()")
        tablet.run("for (let i of [0, 2, 2]) document.querySelectorAll('#products button')[i].click()")
        tablet.type("#table", "12")
        tablet.type("#customer", "Giulia")
        for name, window in (("console", console), ("tablet", tablet)):
            for scheme, width, height in (("light", 1440, 900), ("dark", 1440, 900), ("light", 390, 844), ("dark", 390, 844)):
                window.resize(width, height, scheme)
                window.run("return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
                is_picture = (scheme, width) == ("light", 1440)
                suffix = "" if is_picture else f"-{scheme}-{width}"
                if is_picture or options.all_screenshots:
                    window.screenshot(f"{options.screenshots}/{name}{suffix}.png", whole=True)
        for each in tablets:
            self.stage.end(each)
        if options.all_screenshots:
            self.troubles(console, tablet)

    def troubles(self, console, tablet):
        tablet.resize(1280, 800)
        tablet.click("#offline")
        tablet.click("#place")
        tablet.click(".card footer button")
        tablet.wait_text("#log", "Attempt 3 failed")
        tablet.screenshot(f"{options.screenshots}/tablet-offline.png")
        console.resize(1280, 800)
        console.click(".card footer button")
        console.screenshot(f"{options.screenshots}/console-dialog.png")
        console.press(ESCAPE)
        self.stage.kill()
        console.wait_text("#connections-heading + .as-of", "as of", limit=20)
        console.run("window.scrollTo(0, 0)")
        console.screenshot(f"{options.screenshots}/console-lost.png", whole=True)
        self.stage.start()
        console.wait_text("#status", "Live", limit=40)
        window = self.window("/console")
        window.wait_shown("#sign-in")
        window.screenshot(f"{options.screenshots}/sign-in.png")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--programs", required=True, help="where fynlo-server and fynlo are")
parser.add_argument("--screenshots", help="write docs' pictures to this directory, which takes three minutes more")
parser.add_argument("--settle", type=float, default=170, help="seconds of work before they are taken")
parser.add_argument("--all-screenshots", action="store_true", help="also dark, and of a phone")
options, others = parser.parse_known_args()
figures = {}
if not options.screenshots:
    del Pictures

if __name__ == "__main__":
    program = unittest.main(argv=[sys.argv[0], *others], exit=False, verbosity=2, failfast=True)
    for path, (pages, all_bytes) in figures.items():
        print(f"{path}: {pages:,} bytes of pages, {all_bytes:,} with what they ask for")
    sys.exit(0 if program.result.wasSuccessful() else 1)
