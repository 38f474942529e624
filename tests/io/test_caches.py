"""Caches across event loops, threads, forks and crashes: nothing to close, nothing half written, no way out."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import pickle
import subprocess
import sys
import textwrap
import warnings
from contextlib import contextmanager

import pytest
from blockbuster import blockbuster_ctx
from support.caches.buckets import CREDENTIALS, fresh_prefix, gcs_url, s3_url

from tilebox._io.client_cache import aio as client_cache
from tilebox.aio.workflows import cache as aio
from tilebox.errors import AuthenticationError, TileboxError, TransportError
from tilebox.sync.workflows import cache as sync
from tilebox.workflows.cache import JobCache, LocalFileSystemCache, NoCache, NoCacheError

__all__ = ["gcs_url", "s3_url"]


def run_program(program: str, *arguments: str, strict: bool = True, **environment: str) -> subprocess.CompletedProcess:
    """Run a program in a fresh interpreter, in which nobody closes anything, and any warning is seen."""
    options = ["-W", "error"] if strict else []
    return subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(program), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def bucket(gcs_url):
    """A bucket object with credentials of its own, as in the documentation."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client

    client = Client(project="gcp-project", credentials=AnonymousCredentials(), client_options={"api_endpoint": gcs_url})
    yield client.bucket("caches")
    client.close()


# One client a loop


async def use(cache):
    await cache.set("a", b"1")
    assert await cache.get("a") == b"1"
    assert [key async for key in cache] == ["a"]


def test_an_async_cache_serves_loops_in_turn_and_warns_of_nothing(s3_url):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cache = aio.AmazonS3Cache("caches", fresh_prefix(), endpoint_url=s3_url)
        for _ in range(3):
            asyncio.run(use(cache))
        asyncio.run(use(aio.AmazonS3Cache("caches", fresh_prefix(), endpoint_url=s3_url)))
        gc.collect()
    assert [str(one.message) for one in caught] == []


def test_an_async_cache_dropped_inside_its_loop_is_closed(s3_url):
    async def main():
        await use(aio.AmazonS3Cache("caches", fresh_prefix(), endpoint_url=s3_url))
        gc.collect()
        loop = asyncio.get_running_loop()
        while any(client.loop is loop for client in client_cache._open_clients):  # noqa: ASYNC110 the test waits for just this
            await asyncio.sleep(0)

    asyncio.run(main())


def test_tasks_of_a_loop_share_a_client_also_when_the_first_is_cancelled(s3_url):
    async def main():
        cache = aio.AmazonS3Cache("caches", fresh_prefix(), endpoint_url=s3_url)
        clients = cache._store._clients
        first = asyncio.ensure_future(clients.client())
        others = [asyncio.ensure_future(clients.client()) for _ in range(4)]
        await asyncio.sleep(0)
        first.cancel()
        assert len({id(client) for client in await asyncio.gather(*others)}) == 1
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(main())


def test_a_client_that_could_not_be_opened_is_opened_later(monkeypatch, s3_url):
    async def main():
        cache = aio.AmazonS3Cache("caches", fresh_prefix(), endpoint_url=s3_url)
        monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
        with pytest.raises(TileboxError, match="no-such-profile"):
            await cache.get("a")
        monkeypatch.delenv("AWS_PROFILE")
        await use(cache)

    asyncio.run(main())


@pytest.mark.parametrize("back_end", ["files", "s3", "gcs"])
def test_async_caches_do_not_block_the_loop(tmp_path, s3_url, bucket, back_end):
    async def main():
        with blockbuster_ctx(scanned_modules=["tilebox.aio", "tilebox._io"]):
            cache = {
                "files": lambda: aio.LocalFileSystemCache(tmp_path),
                "s3": lambda: aio.AmazonS3Cache("caches", fresh_prefix(), endpoint_url=s3_url),
                "gcs": lambda: aio.GoogleStorageCache(bucket, fresh_prefix()),
            }[back_end]()
            await use(cache)
            await cache.delete("a")

    asyncio.run(main())


# Programs that end, fork, or lack a library


def test_programs_end_without_closing_anything(s3_url, gcs_url, tmp_path):
    done = run_program(
        """
        import asyncio, sys, warnings
        with warnings.catch_warnings():
            # Not ours: what Google's namespace packages and aiohttp warn of when they are imported.
            warnings.simplefilter("ignore")
            import aiobotocore.session, google.cloud.storage
        from tilebox.aio.workflows import cache as aio
        from tilebox.sync.workflows import cache as sync
        s3_url, gcs_url, folder, prefix = sys.argv[1:]
        for cache in (
            sync.AmazonS3Cache("caches", prefix, endpoint_url=s3_url),
            sync.GoogleStorageCache("caches", prefix),
            sync.LocalFileSystemCache(folder),
        ):
            cache["a"] = b"1"
            assert list(cache) == ["a"]
        async def main(cache):
            await cache.set("b", b"1")
            assert [key async for key in cache] == ["a", "b"]
        asyncio.run(main(aio.AmazonS3Cache("caches", prefix, endpoint_url=s3_url)))
        asyncio.run(main(aio.GoogleStorageCache("caches", prefix)))
        print("done")
        """,
        *(s3_url, gcs_url, str(tmp_path), fresh_prefix()),
    )
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_parent_and_forked_child_both_go_on(s3_url, gcs_url, tmp_path):
    done = run_program(
        """
        import os, sys
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.storage import Client
        from tilebox.workflows.cache import AmazonS3Cache, GoogleStorageCache, LocalFileSystemCache
        s3_url, gcs_url, folder, prefix = sys.argv[1:]
        client = Client(project="p", credentials=AnonymousCredentials(), client_options={"api_endpoint": gcs_url})
        caches = [
            AmazonS3Cache("caches", prefix, endpoint_url=s3_url),
            GoogleStorageCache(client.bucket("caches"), prefix),
            LocalFileSystemCache(folder),
        ]
        for cache in caches:
            cache["a"] = b"parent"
        clients = [id(cache._store._clients.client()) for cache in caches[:2]]
        child = os.fork()
        if child == 0:
            for cache in caches:
                assert cache["a"] == b"parent"
                cache["b"] = b"child"
            assert not set(clients) & {id(cache._store._clients.client()) for cache in caches[:2]}
            os._exit(7)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 7, status
        for cache in caches:
            assert (cache["a"], cache["b"]) == (b"parent", b"child")
        """,
        *(s3_url, gcs_url, str(tmp_path), fresh_prefix()),
        strict=False,
        # The client that the child makes has to have what the parent's client was given.
        STORAGE_EMULATOR_HOST="",
    )
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize(("library", "cache"), [("botocore", "AmazonS3Cache"), ("google.cloud", "GoogleStorageCache")])
@pytest.mark.parametrize("world", ["aio", "sync"])
def test_a_missing_extra_is_named_on_first_use(library, cache, world):
    done = run_program(
        """
        import asyncio, importlib, inspect, sys
        library, name, world = sys.argv[1:]
        sys.modules[library] = None
        if library == "google.cloud":
            sys.modules["gcloud"] = None
        cache = getattr(importlib.import_module(f"tilebox.{world}.workflows.cache"), name)("bucket").group("job")
        async def main():
            answer = cache.get("a")
            return await answer if inspect.isawaitable(answer) else answer
        try:
            asyncio.run(main())
        except ImportError as error:
            print(type(error).__name__, error)
        """,
        *(library, cache, world),
        strict=False,
    )
    extra = "s3" if library == "botocore" else "gcs"
    assert done.stdout.startswith("MissingExtraError a cache in ")
    assert f'pip install "tilebox-open[{extra}]"' in done.stdout


def test_making_a_cache_loads_none_of_their_libraries(tmp_path):
    done = run_program(
        """
        import sys
        from tilebox.workflows.cache import AmazonS3Cache, GoogleStorageCache, InMemoryCache, LocalFileSystemCache
        AmazonS3Cache("bucket"), GoogleStorageCache("bucket"), LocalFileSystemCache("cache"), InMemoryCache()
        print([name for name in ("botocore", "aiobotocore", "google.cloud", "numpy", "httpx") if name in sys.modules])
        """
    )
    assert done.stdout == "[]\n"


# Files


def test_the_files_of_a_cache_are_where_people_look_for_them(tmp_path):
    cache = LocalFileSystemCache(tmp_path / "cache")
    assert list(cache) == []
    assert not (tmp_path / "cache").exists()
    cache.group("job")["images/a.png"] = b"1"
    assert (tmp_path / "cache/job/images/a.png").read_bytes() == b"1"
    assert [path.name for path in (tmp_path / "cache").rglob("*")] == ["job", "images", "a.png"]


def test_a_relative_root_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache = LocalFileSystemCache()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    cache["a"] = b"1"
    assert (tmp_path / "cache/a").read_bytes() == b"1"
    assert pickle.loads(pickle.dumps(cache))["a"] == b"1"


@pytest.mark.parametrize("link_at", ["value", "group", "aside"])
def test_no_symbolic_link_leads_out_of_a_cache(tmp_path, link_at):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"secret")
    job = tmp_path / "cache/job"
    job.mkdir(parents=True)
    if link_at == "value":
        (job / "secret").symlink_to(tmp_path / "outside/secret")
    elif link_at == "group":
        (job / "group").symlink_to(tmp_path / "outside", target_is_directory=True)
    else:
        (job / ".tilebox-values").symlink_to(tmp_path / "outside", target_is_directory=True)
    cache = LocalFileSystemCache(tmp_path / "cache").group("job")
    key = "group/secret" if link_at == "group" else "secret"
    for attempt in (cache.get, cache.contains, cache.delete, lambda key: cache.set(key, b"changed")):
        with pytest.raises(ValueError, match="symbolic link"):
            attempt(key)
    if link_at == "value":
        assert list(cache) == []
    else:
        with pytest.raises(ValueError, match="symbolic link"):
            list(cache.group("group") if link_at == "group" else cache)
    assert (tmp_path / "outside/secret").read_bytes() == b"secret"
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["secret"]


def test_the_root_itself_may_be_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "cache").symlink_to(tmp_path / "disk", target_is_directory=True)
    LocalFileSystemCache(tmp_path / "cache")["a"] = b"1"
    assert (tmp_path / "disk/a").read_bytes() == b"1"


def test_what_others_left_in_the_folder_is_no_key(tmp_path):
    cache = LocalFileSystemCache(tmp_path)
    cache["a"] = b"1"
    (tmp_path / ".tilebox-0123.tmp").write_bytes(b"half")
    (tmp_path / "back\\slash").write_bytes(b"x")
    (tmp_path / "e\u0301").write_bytes(b"not the normal form")
    assert list(cache) == ["a"]


def test_a_write_that_fails_leaves_the_old_value_and_nothing_else(tmp_path, monkeypatch):
    cache = LocalFileSystemCache(tmp_path)
    cache["a"] = b"old"

    def refuse(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", refuse)
        with pytest.raises(OSError, match="No space"):
            cache["a"] = b"new"
    assert cache["a"] == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


WRITER = """
    import sys
    from tilebox.workflows.cache import LocalFileSystemCache
    folder, letter = sys.argv[1:]
    cache = LocalFileSystemCache(folder).group("job")
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(1_000_000):
        cache["a"] = letter.encode() * 300_000
        cache[f"a/{letter}"] = b"x"
        cache["a/b/c"] = letter.encode() * 10
        if number == 0:
            print("wrote", flush=True)
"""


def test_processes_write_the_same_keys_and_are_killed(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)]
    writers = [
        subprocess.Popen([*command, letter], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for letter in "xyz"
    ]
    try:
        for writer in writers:
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            writer.stdin.write("go\n")
            writer.stdin.flush()
        for writer in writers:
            assert writer.stdout.readline() == "wrote\n"
        cache = LocalFileSystemCache(tmp_path).group("job")
        for _ in range(100):
            value = cache["a"]
            assert len(value) == 300_000
            assert len(set(value)) == 1
            assert cache["a/b/c"] in {b"x" * 10, b"y" * 10, b"z" * 10}
            assert list(cache) == ["a"]
        assert [writer.poll() for writer in writers] == [None] * 3
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert len(set(cache["a"])) == 1
    assert list(cache) == ["a"]
    assert list(cache.group("a")) == ["x", "y", "z"]


@pytest.mark.parametrize("change", ["a group of its name", "another value", "another value beside a group"])
def test_readers_never_miss_a_value_that_is_being_changed(tmp_path, change):
    cache = LocalFileSystemCache(tmp_path)
    cache["a"] = b"old"
    if change.endswith("beside a group"):
        cache["a/b"] = b"1"
    seen = []
    with before_each_step(lambda: seen.append(cache.get("a"))):
        cache["a/b" if change == "a group of its name" else "a"] = b"new"
    assert len(seen) >= 2
    assert set(seen) <= {b"old", b"new"}
    assert cache.get("a") == (b"old" if change == "a group of its name" else b"new")


@contextmanager
def before_each_step(look):
    """Look before everything that this thread does to files: where another process might be looking, too."""
    is_on = True

    def hook(event, _):
        nonlocal is_on
        if is_on and event in {"open", "os.mkdir", "os.rename", "os.remove"}:
            is_on = False
            look()
            is_on = True

    # A hook stays for good; this one keeps quiet from then on.
    sys.addaudithook(hook)
    try:
        yield
    finally:
        is_on = False


# Buckets


@pytest.mark.parametrize("world", [aio, sync])
def test_a_google_bucket_is_given_as_an_object_or_by_its_name(bucket, world):
    prefix = fresh_prefix()

    async def check(cache):
        for answer in (cache.group("job").set("a", b"1"), cache.group("job").get("a")):
            found = await answer if inspect.isawaitable(answer) else answer
        assert found == b"1"

    for given in (bucket, "caches"):
        cache = world.GoogleStorageCache(given, prefix)
        asyncio.run(check(cache))
        asyncio.run(check(pickle.loads(pickle.dumps(cache))))
    assert bucket.blob(f"{prefix}/job/a").download_as_bytes() == b"1"


def test_a_bucket_object_is_used_with_its_own_client(bucket):
    cache = sync.GoogleStorageCache(bucket)
    assert cache._store._clients.client() is bucket.client


@pytest.mark.parametrize(("prefix", "key"), [("jobs", "jobs/a/b"), ("", "a/b"), ("/x/y/", "x/y/a/b")])
def test_objects_lie_below_the_prefix(s3_url, prefix, key):
    cache = sync.AmazonS3Cache("caches", prefix, endpoint_url=s3_url)
    cache["a/b"] = b"1"
    client = cache._store._clients.client()
    assert client.get_object(Bucket="caches", Key=key)["Body"].read() == b"1"
    del cache["a/b"]


@pytest.mark.parametrize("use_bucket", [lambda c: c["a"], lambda c: c.get("a"), lambda c: c.set("a", b""), list])
def test_a_bucket_that_is_not_there_is_no_missing_key(s3_url, use_bucket):
    with pytest.raises(TileboxError, match="the bucket no-such of a cache") as caught:
        use_bucket(sync.AmazonS3Cache("no-such", endpoint_url=s3_url))
    assert not isinstance(caught.value, KeyError)


@pytest.mark.parametrize("use_bucket", [lambda c: c.set("a", b""), list])
def test_a_google_bucket_that_is_not_there_is_told(gcs_url, use_bucket):
    with pytest.raises(TileboxError, match="the bucket no-such of a cache"):
        use_bucket(sync.GoogleStorageCache("no-such"))


def test_no_answer_and_no_credentials_are_told_apart(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    caches = [world.AmazonS3Cache("caches", endpoint_url="http://127.0.0.1:1") for world in (sync, aio)]
    with pytest.raises(AuthenticationError, match="AWS_ACCESS_KEY_ID"):
        caches[0].get("a")
    with pytest.raises(AuthenticationError, match="AWS_ACCESS_KEY_ID"):
        asyncio.run(caches[1].get("a"))
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    caches = [world.AmazonS3Cache("caches", endpoint_url="http://127.0.0.1:1") for world in (sync, aio)]
    with pytest.raises(TransportError, match="no complete answer from the bucket caches"):
        caches[0].get("a")
    with pytest.raises(TransportError, match="no complete answer from the bucket caches"):
        asyncio.run(caches[1].get("a"))


@pytest.mark.parametrize("world", [aio, sync])
def test_no_credentials_for_google_are_told(monkeypatch, tmp_path, world):
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))

    async def read():
        answer = world.GoogleStorageCache("caches").get("a")
        return await answer if inspect.isawaitable(answer) else answer

    with pytest.raises(AuthenticationError, match="the bucket caches of a cache"):
        asyncio.run(read())


def test_no_answer_from_google_is_told(monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    cache = sync.GoogleStorageCache("caches")
    # The library tries for two minutes; what it raises then is not waited for.
    monkeypatch.setattr("google.cloud.storage.retry.DEFAULT_RETRY._timeout", 0.0)
    with pytest.raises(TransportError, match="no complete answer from the bucket caches"):
        list(cache)


# The interface


class OwnCache(JobCache):
    """As somebody would write it after the documentation."""

    def __init__(self, values=None, start=""):
        self.values, self.start = {} if values is None else values, start

    def __getitem__(self, key):
        return self.values[self.start + key]

    def __setitem__(self, key, value):
        self.values[self.start + key] = value

    def __delitem__(self, key):
        del self.values[self.start + key]

    def __iter__(self):
        inside = [key.removeprefix(self.start) for key in self.values if key.startswith(self.start)]
        return iter([key for key in inside if "/" not in key])

    def group(self, name):
        return OwnCache(self.values, f"{self.start}{name}/")


def test_a_cache_of_ones_own():
    cache = OwnCache().group("job")
    cache.set("a", b"1")
    cache["g/b"] = b"2"
    assert (cache.get("a"), cache.get("c"), cache.get("c", b"3")) == (b"1", None, b"3")
    assert (list(cache.keys()), len(cache)) == (["a"], 1)
    assert "a" in cache
    assert not cache.contains("b")
    cache.delete("a")
    assert cache
    with pytest.raises(KeyError):
        cache.delete("a")


def test_an_incomplete_cache_is_refused_when_it_is_made():
    class Incomplete(JobCache):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Incomplete()


def test_a_runner_without_a_cache_says_how_to_configure_one():
    cache = NoCache().group("some-job")
    for attempt in (
        lambda: cache["a"],
        lambda: cache.get("a"),
        lambda: cache.set("a", b"1"),
        lambda: cache.delete("a"),
        lambda: "a" in cache,
        lambda: list(cache),
        lambda: list(cache.group("g")),
        lambda: len(cache),
    ):
        with pytest.raises(NoCacheError, match="cache=") as caught:
            attempt()
        assert isinstance(caught.value, ValueError)
        assert not isinstance(caught.value, KeyError)
    with pytest.raises(NoCacheError, match="cache="):
        asyncio.run(aio.NoCache().get("a"))
    # A runner of the async client executes plain tasks, too, which know of subscripts only.
    of_async_client = aio.NoCache().group("some-job")
    for attempt in (
        lambda: of_async_client["a"],
        lambda: of_async_client.__setitem__("a", b"1"),
        lambda: of_async_client.__delitem__("a"),
        lambda: "a" in of_async_client,
        lambda: list(of_async_client),
    ):
        with pytest.raises(NoCacheError, match="cache="):
            attempt()
    assert pickle.loads(pickle.dumps(cache)) is not None


NAMES = ["AmazonS3Cache", "GoogleStorageCache", "InMemoryCache", "JobCache", "LocalFileSystemCache", "NoCache"]


@pytest.mark.parametrize("name", NAMES)
def test_both_worlds_have_the_same_names_and_signatures(name):
    one, other = getattr(aio, name), getattr(sync, name)
    assert str(inspect.signature(one)) == str(inspect.signature(other))
    for verb in ("get", "set", "delete", "keys", "contains", "group"):
        first, second = getattr(one, verb), getattr(other, verb)
        assert inspect.getdoc(first) == inspect.getdoc(second)
        assert str(inspect.signature(first)).replace("AsyncIterator", "Iterator") == str(inspect.signature(second))


def test_the_documented_signatures():
    assert str(inspect.signature(sync.LocalFileSystemCache)).startswith("(root: 'str | os.PathLike[str]' = 'cache')")
    assert list(inspect.signature(sync.AmazonS3Cache).parameters) == ["bucket", "prefix", "region", "endpoint_url"]
    assert inspect.signature(sync.AmazonS3Cache).parameters["prefix"].default == "jobs"
    assert inspect.signature(sync.GoogleStorageCache).parameters["prefix"].default == "jobs"
