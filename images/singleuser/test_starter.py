"""What the starter must do, and all that it must refuse. Needs Python alone: `python3 test_starter.py`."""

import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import unittest

STARTER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "holt-start")
sys.dont_write_bytecode = True
LOADER = importlib.machinery.SourceFileLoader("holt_start", STARTER)
START = importlib.util.module_from_spec(importlib.util.spec_from_loader("holt_start", LOADER))
LOADER.exec_module(START)

SECRET = "s3cr3t-that-must-not-show"
SHOW = ["/bin/sh", "-c", 'printf "%s|%s|" "$GIVEN" "$KEPT"; cat; printf "|end"']


def bundle(**changes):
    whole = {"launch": "l-1", "env": {"GIVEN": SECRET}, "files": [], "command": SHOW}
    whole.update(changes)
    return whole


def frame(content, magic=b"HLT1"):
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return magic + len(text).to_bytes(4, "big") + text


def start(sent, arguments=(), **env):
    """Runs the starter as a process with `sent` as its whole standard input."""
    return subprocess.run(
        [sys.executable, "-ISE", STARTER, *arguments],
        input=sent,
        capture_output=True,
        timeout=30,
        env={"PATH": os.environ["PATH"], "KEPT": "kept", **env},
    )


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class Starting(unittest.TestCase):
    def test_a_whole_bundle_is_acknowledged_and_becomes_its_command(self):
        done = start(frame(bundle()) + b"what follows is nobody's")
        self.assertEqual(done.stdout.decode(), f"holt.bind: bound l-1\n{SECRET}|kept||end")
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_the_bundle_may_come_byte_by_byte(self):
        process = subprocess.Popen(
            [sys.executable, "-ISE", STARTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        for byte in frame(bundle()):
            process.stdin.write(bytes([byte]))
        # Standard input stays open, as an engine may leave it: the server's is /dev/null all the same.
        self.assertTrue(process.stdout.readline().startswith(b"holt.bind: bound l-1"))
        self.assertTrue(process.stdout.read().endswith(b"|end"))
        process.stdin.close()
        process.stdout.close()
        self.assertEqual(process.wait(30), 0)

    def test_what_is_cut_anywhere_is_refused(self):
        whole = frame(bundle())
        for length in [0, 1, 3, 4, 5, 7, 8, 9, len(whole) // 2, len(whole) - 1]:
            with self.subTest(length=length):
                self.refused(whole[:length])

    def test_another_magic_is_refused(self):
        self.refused(frame(bundle(), magic=b"HLT2"))

    def test_a_large_bundle_is_refused_before_it_is_read(self):
        self.refused(b"HLT1" + (START.MAX_BYTES + 1).to_bytes(4, "big"))
        self.refused(b"HLT1\xff\xff\xff\xff" + b"x" * 100)

    def test_the_largest_bundle_is_taken(self):
        rest = START.MAX_BYTES - len(json.dumps(bundle(command=["true", ""])))
        sent = frame(bundle(command=["true", ""], env={"GIVEN": SECRET}))
        self.assertEqual(start(sent).returncode, 0)
        padded = json.dumps(bundle(command=["true", ""])).encode() + b" " * rest
        self.assertEqual(len(padded), START.MAX_BYTES)
        self.assertEqual(start(frame(padded)).returncode, 0)

    def test_what_is_not_json_is_refused(self):
        for text in [b"", b"{", b"null", b"[]", b"\xff\xfe", b"{}x", b"[" * 100_000, b"1" * 5_000]:
            with self.subTest(text=text[:8]):
                self.refused(frame(text))

    def test_a_bundle_for_another_launch_is_refused(self):
        self.refused(frame(bundle()), HOLT_LAUNCH="l-2")
        self.assertEqual(start(frame(bundle()), HOLT_LAUNCH="l-1").returncode, 0)

    def test_files_are_not_written_where_no_tmpfs_is(self):
        file = {"path": "/run/holt/x", "mode": 0o400, "content": SECRET}
        if not START.is_tmpfs("/run/holt"):
            self.refused(frame(bundle(files=[file])))

    def test_a_command_is_run_without_a_bundle(self):
        done = start(b"typed", ["/bin/sh", "-c", "cat; printf '|%s' \"$KEPT\""])
        self.assertEqual((done.stdout, done.returncode), (b"typed|kept", 0))

    def test_a_token_at_creation_needs_no_bundle(self):
        done = start(b"", ["/bin/echo", "ran"], JUPYTERHUB_API_TOKEN="t")
        self.assertEqual(done.stdout, b"ran\n")
        self.assertFalse(START.wants_bundle(["jupyterhub-singleuser"], {"JUPYTERHUB_API_TOKEN": "t"}))

    def test_the_default_command_waits_for_a_bundle(self):
        self.assertTrue(START.wants_bundle([], {}))
        self.assertTrue(START.wants_bundle(["jupyterhub-singleuser"], {}))
        self.assertTrue(START.wants_bundle(["bash"], {"HOLT_BIND": "on"}))
        self.assertFalse(START.wants_bundle([], {"HOLT_BIND": "off"}))
        self.refused(b"", arguments=["jupyterhub-singleuser"])

    def test_a_missing_command_ends_as_in_a_shell(self):
        self.assertEqual(start(b"", ["/no/such/command"]).returncode, 127)
        self.assertEqual(start(frame(bundle(command=["/no/such"]))).returncode, 127)

    def refused(self, sent, **how):
        done = start(sent, **how)
        self.assertEqual((done.returncode, done.stdout), (97, b""), done.stderr)
        self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)
        self.assertTrue(done.stderr.startswith(b"holt-start: "))
        self.assertNotIn(SECRET.encode(), done.stderr)


class Checking(unittest.TestCase):
    def refused(self, content):
        with self.assertRaises(START.Refused) as caught:
            START.parse(json.dumps(content).encode())
        self.assertNotIn(SECRET, str(caught.exception))

    def test_types_and_fields(self):
        self.refused({key: value for key, value in bundle().items() if key != "files"})
        self.refused(bundle(extra=1))
        for launch in [None, 1, True, [], {}, "", "a b", "a\nb", "ä", "x" * 129]:
            self.refused(bundle(launch=launch))
        for env in [None, [], {"A": 1}, {"A": None}, {"": "x"}, {"A=B": "x"}, {"A\0": "x"}, {"A": "\0"}, {"A": "\ud800"}]:
            self.refused(bundle(env=env))
        for command in [None, "sh", [1], ["a\0"], [""], [None]]:
            self.refused(bundle(command=command))
        for files in [None, {}, [1], [{}], [{"path": "/run/holt/a", "mode": 0o400}]]:
            self.refused(bundle(files=files))

    def test_files(self):
        def with_file(**changes):
            return bundle(files=[{"path": "/run/holt/a", "mode": 0o400, "content": SECRET, **changes}])

        START.parse(json.dumps(with_file()).encode())
        for path in [
            "/run/holt", "/run/holt/", "/run/holt/../x", "/run/holt/a/../../x", "/run/holt/./a", "/run/holt//a", "/run/holt/a/",
            "/run/holtx/a", "/etc/passwd", "run/holt/a", "", None, 1, "/run/holt/a\0b", "/run/holt/\ud800", "/run/holt/" + "x" * 256,
        ]:
            with self.subTest(path=path):
                self.refused(with_file(path=path))
        for mode in [None, "0400", -1, 0o1000, 0o4755, True, 1.5]:
            with self.subTest(mode=mode):
                self.refused(with_file(mode=mode))
        for content in [None, 1, [], "\ud800"]:
            self.refused(with_file(content=content))
        twice = with_file()
        self.refused(bundle(files=twice["files"] * 2))


class Writing(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = os.path.realpath(folder.name)

    def write(self, *files):
        whole = [{"path": f"{self.root}/{path}", "mode": 0o400, "content": text} for path, text in files]
        parsed = START.parse(json.dumps(bundle(files=whole)).encode(), root=self.root)
        START.write_files(parsed["files"], self.root, lambda _: True)

    def test_files_are_written_with_their_mode_in_closed_folders(self):
        self.write(("a/b/c", "ü" * 100_000), ("a/d", ""))
        path = f"{self.root}/a/b/c"
        self.assertEqual(read(path), "ü" * 100_000)
        self.assertEqual(os.stat(path).st_mode & 0o7777, 0o400)
        self.assertEqual(os.stat(f"{self.root}/a").st_mode & 0o777, 0o700)

    def test_links_are_not_followed(self):
        with tempfile.TemporaryDirectory() as elsewhere:
            os.symlink(elsewhere, f"{self.root}/out")
            os.symlink(f"{elsewhere}/target", f"{self.root}/link")
            for path in ["out/x", "link"]:
                with self.assertRaises(START.Refused):
                    self.write(("first", SECRET), (path, SECRET))
            self.assertEqual(os.listdir(elsewhere), [])
        self.assertFalse(os.path.exists(f"{self.root}/first"))

    def test_nothing_is_written_over(self):
        self.write(("a", "one"))
        with self.assertRaises(START.Refused):
            self.write(("a", "two"))
        self.assertEqual(read(f"{self.root}/a"), "one")

    def test_a_persons_own_file_stays_and_the_others_are_links(self):
        with tempfile.TemporaryDirectory() as home:
            files = [{"path": f"{self.root}/replica.my.cnf"}]
            with open(f"{home}/.my.cnf", "w", encoding="utf-8") as own:
                own.write("mine")
            for _ in range(2):
                START.link_files(files, home, self.root)
                self.assertEqual(read(f"{home}/.my.cnf"), "mine")
                self.assertEqual(os.readlink(f"{home}/replica.my.cnf"), f"{self.root}/replica.my.cnf")

    def test_without_such_a_file_nothing_is_linked(self):
        with tempfile.TemporaryDirectory() as home:
            START.link_files([{"path": f"{self.root}/other"}], home, self.root)
            START.link_files([{"path": f"{self.root}/replica.my.cnf"}], f"{home}/missing", self.root)
            self.assertEqual(os.listdir(home), [])

    def test_a_tmpfs_is_told_from_a_folder(self):
        table = f"{self.root}/mounts"
        with open(table, "w", encoding="utf-8") as out:
            out.write("1 2 0:1 / / rw - overlay overlay rw\n3 1 0:2 / /run/holt rw,nosuid - tmpfs tmpfs rw\n")
        self.assertTrue(START.is_tmpfs("/run/holt", table))
        self.assertFalse(START.is_tmpfs("/run", table))
        self.assertFalse(START.is_tmpfs("/", table))


class Examples(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.home = os.path.join(self.folder.name, "home")
        self.source = os.path.join(self.folder.name, "source")
        os.mkdir(self.home)
        os.mkdir(self.source)
        with open(os.path.join(self.source, "one.ipynb"), "w") as example:
            example.write("{}")

    def test_a_new_home_gets_them_and_one_in_use_does_not(self):
        os.mkdir(os.path.join(self.home, ".jupyter"))
        START.offer_examples(self.home, self.source)
        copy = os.path.join(self.home, "examples", "one.ipynb")
        self.assertTrue(os.path.isfile(copy))
        os.unlink(copy)
        START.offer_examples(self.home, self.source)
        self.assertFalse(os.path.exists(copy))

    def test_an_image_without_examples_is_no_trouble(self):
        START.offer_examples(self.home, self.source + "-gone")
        self.assertEqual(os.listdir(self.home), [])


if __name__ == "__main__":
    unittest.main()
