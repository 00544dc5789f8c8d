"""A browser, driven through chromedriver by the W3C WebDriver protocol. Only the standard library is used."""
import base64
import json
import os
import subprocess
import time
import urllib.error
import urllib.request

LIMIT = 30
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class BrowserError(Exception):
    """An error that chromedriver answered."""


class Timeout(AssertionError):
    """A condition did not come true in time."""


class Browser:
    """One headless Chromium with a profile of its own; its windows are tabs, which share nothing but that."""

    def __init__(self):
        # Another program may take the port before chromedriver does.
        for _ in range(5):
            if self.start_driver():
                break
        else:
            raise BrowserError(f"chromedriver did not start: {self.said}")
        arguments = [
            "--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900", "--hide-scrollbars",
            # The tests look at windows in turn: windows in the background must keep running.
            "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
            "--disable-backgrounding-occluded-windows", "--no-first-run", "--disable-component-update",
        ]
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")
        capabilities = {
            "browserName": "chrome", "unhandledPromptBehavior": "accept",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        self.base = ""
        answer = self.call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self.base = f"/session/{answer['sessionId']}"
        self.version = answer["capabilities"]["browserVersion"]
        self.current = None

    def start_driver(self):
        self.driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.said = ""
        for line in self.driver.stdout:
            self.said += line
            if "started successfully on port" in line:
                self.port = int(line.rsplit(" ", 1)[1].strip(".\n"))
                return True
        self.driver.stdout.close()
        self.driver.wait()
        return False

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{self.base}{path}", data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise BrowserError(f"{value['error']}: {value['message'].splitlines()[0]}") from None

    def window(self, url=None):
        """A new tab."""
        handle = self.call("POST", "/window/new", {"type": "tab"})["handle"]
        window = Window(self, handle)
        if url:
            window.open(url)
        return window

    def performance_log(self):
        """DevTools' network events since the last call."""
        return [json.loads(entry["message"])["message"] for entry in self.call("POST", "/se/log", {"type": "performance"})]

    def console_log(self):
        """The errors that pages and the browser logged since the last call."""
        return [f"{entry['level']} {entry['message']}" for entry in self.call("POST", "/se/log", {"type": "browser"})]

    def close(self):
        try:
            self.call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait(10)
            self.driver.stdout.close()


class Window:
    """A tab."""

    def __init__(self, browser, handle):
        self.browser = browser
        self.handle = handle

    def call(self, method, path, body=None):
        if self.browser.current != self.handle:
            self.browser.call("POST", "/window", {"handle": self.handle})
            self.browser.current = self.handle
        return self.browser.call(method, path, body)

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def reload(self):
        self.call("POST", "/refresh", {})

    def close(self):
        self.call("DELETE", "/window")
        self.browser.current = None

    def run(self, script, *arguments):
        """The value of a function's body."""
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def developer_tools(self, command, **parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    # Waiting

    def wait(self, what, script, *arguments, limit=LIMIT):
        """Waits until the function's body returns something true, and returns it."""
        end = time.monotonic() + limit
        while True:
            value = self.run(script, *arguments)
            if value:
                return value
            if time.monotonic() > end:
                raise Timeout(f"{what}: not within {limit} s\n{self.text('body')[:3000]}")
            time.sleep(0.03)

    def wait_text(self, selector, text, limit=LIMIT):
        """Waits until something that is shown has this text in it, and returns its whole text."""
        return self.wait(
            f"“{text}” in {selector}",
            "return [...document.querySelectorAll(arguments[0])].filter(e => e.checkVisibility())"
            ".map(e => e.innerText).find(t => t.includes(arguments[1])) ?? ''", selector, text, limit=limit)

    def wait_gone(self, selector, limit=LIMIT):
        self.wait(
            f"{selector} gone",
            "return ![...document.querySelectorAll(arguments[0])].some(e => e.checkVisibility())", selector, limit=limit)

    def wait_shown(self, selector, limit=LIMIT):
        self.wait(
            f"{selector} shown",
            "return [...document.querySelectorAll(arguments[0])].some(e => e.checkVisibility())", selector, limit=limit)

    # Looking and doing

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def count(self, selector):
        return self.run("return document.querySelectorAll(arguments[0]).length", selector)

    def element(self, selector):
        return self.call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        """A click where a person would click: it has to be there, and not behind anything else."""
        self.wait_shown(selector)
        self.run(
            "document.querySelector(arguments[0]).scrollIntoView({block: 'center', behavior: 'instant'})", selector)
        try:
            self.call("POST", f"/element/{self.element(selector)}/click", {})
        except BrowserError as error:
            # The page has just replaced the element.
            if "stale element" not in str(error):
                raise
            self.call("POST", f"/element/{self.element(selector)}/click", {})

    def type(self, selector, text):
        self.wait_shown(selector)
        self.call("POST", f"/element/{self.element(selector)}/value", {"text": text})

    def choose(self, selector, value):
        """Chooses an option as a person would."""
        self.run(
            "const s = document.querySelector(arguments[0]); s.value = arguments[1];"
            "s.dispatchEvent(new Event('change', {bubbles: true}))", selector, value)

    def press(self, *keys):
        """Keys to whatever has the focus."""
        actions = [action for key in keys for action in ({"type": "keyDown", "value": key}, {"type": "keyUp", "value": key})]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def resize(self, width, height, scheme="light"):
        """The size of a screen, and whether it is light or dark."""
        self.developer_tools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 700)
        self.developer_tools(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path, whole=False):
        value = self.developer_tools("Page.captureScreenshot", captureBeyondViewport=whole)
        with open(path, "wb") as file:
            file.write(base64.b64decode(value["data"]))


TAB, ENTER, ESCAPE, SPACE = "\ue004", "\ue007", "\ue00c", " "
