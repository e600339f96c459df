"""What berth does to stores and registries, as a table, for the programs that kill it in the middle of it.

A row says how to make the state before, which command is killed, and which tags may then stand for what. `after_kill`
and `after_repeat` check everything that a row promises; who kills, and when, is for the caller.
"""

import dataclasses
import json
import shutil

import berthlab
import invariants

OLD, NEW = "old", "new"


class World:
    """A registry with the models old and new, a user who is killed, and another one who is not."""

    def __init__(self, folder, seed):
        self.folder = folder
        (folder / "r").mkdir()
        self.registry = berthlab.Registry(folder / "r")
        self.user = berthlab.Berth(folder / "u")
        self.helper = berthlab.Berth(folder / "h")
        self.file, self.id, self.tar = {}, {}, {}
        license = folder / "LICENSE"
        license.write_text("shared by both\n" * 1000)
        for number, name in enumerate((OLD, NEW)):
            self.file[name] = berthlab.gguf(folder / f"{name}.gguf", seed=seed + number, embedding=256, layers=6)
            self.helper.run("package", "--gguf", self.file[name], "--license", license, f"ai/{name}:1")
            self.id[name] = self.helper.json("inspect", f"ai/{name}:1")["id"]
            self.tar[name] = folder / f"{name}.tar"
            self.helper.run("export", f"ai/{name}:1", "-o", self.tar[name])
        self.license = license
        # A tag of the registry that the operations use; which model it stands for is part of a round's state.
        self.remote = f"{self.registry.host}/ai/moving:1"
        self.user.run("list")

    def close(self):
        self.registry.close()

    def publish(self, name):
        self.helper.run("tag", f"ai/{name}:1", self.remote)
        self.helper.run("push", self.remote)

    def unpublish(self):
        """The registry is emptied: pushes of the next round send every byte."""
        shutil.rmtree(self.registry.folder / "data", ignore_errors=True)

    def empty(self):
        self.user.run("purge", "--force")

    def hold(self, name, tag):
        self.user.run("import", self.tar[name])
        self.user.run("tag", f"ai/{name}:1", tag)
        self.user.run("rm", f"ai/{name}:1")

    def package(self, name, tag):
        return ["package", "--gguf", self.file[name], "--license", self.license, tag]

    def published(self):
        """What the registry's tag stands for: None, or the digest of a manifest whose blobs are all there."""
        accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        status, _, body = self.registry.get("/v2/ai/moving/manifests/1", headers=accept)
        if status == 404:
            return None
        assert status == 200, (status, body)
        manifest = json.loads(body)
        for one in [manifest["config"], *manifest["layers"]]:
            status, _, content = self.registry.get(f"/v2/ai/moving/blobs/{one['digest']}")
            assert status == 200 and berthlab.sha256(content) == one["digest"], f"{one['digest']} is not whole in the registry"
        return berthlab.sha256(body)

    def uploads(self):
        return len(list((self.registry.folder / "data").glob("docker/registry/v2/repositories/ai/moving/_uploads/*")))

    def garbage(self):
        """A pull that is killed half-way leaves an unfinished download or nothing; either is fine here."""
        process = self.user.start("pull", self.remote)
        berthlab.select_pause()
        process.kill()
        process.communicate()


@dataclasses.dataclass
class Operation:
    name: str
    prepare: object  # of the world: makes the state before
    command: object  # of the world: the arguments of berth
    # Of the tags of the store, as {tag: "old" | "new"}: those that may be seen after the kill, and the one after the repeat.
    before: dict
    after: dict
    repeat_may_say: tuple = (0,)  # 3 where the first try did all of it
    registry_before: str | None = ...  # what the registry's tag may stand for; ...: the operation does not write there
    registry_after: str | None = ...


def nothing(world):
    world.empty()


def remote_new(world):
    world.empty()
    world.publish(NEW)


def old_here_new_there(world):
    world.empty()
    world.publish(NEW)
    world.hold(OLD, world.remote)


def part_here(world):
    remote_new(world)
    world.user.run("pull", "--include", "LICENSE", world.remote)


def held_old(world):
    world.empty()
    world.hold(OLD, "ai/held:1")


def held_both(world):
    world.empty()
    world.hold(OLD, "ai/held:1")
    world.hold(NEW, "ai/fresh:1")


def held_twice(world):
    held_old(world)
    world.user.run("tag", "ai/held:1", "ai/second:1")


def held_and_garbage(world):
    remote_new(world)
    world.hold(OLD, "ai/held:1")
    world.garbage()
    world.user.run("rm", world.remote, ok=False)


def to_push(world):
    world.empty()
    world.unpublish()
    world.hold(NEW, world.remote)


def to_push_over_old(world):
    world.empty()
    world.unpublish()
    world.publish(OLD)
    world.hold(NEW, world.remote)


HELD, FRESH, SECOND, REMOTE = "docker.io/ai/held:1", "docker.io/ai/fresh:1", "docker.io/ai/second:1", "REMOTE"

OPERATIONS = [
    Operation("pull", remote_new, lambda w: ["pull", w.remote], {}, {REMOTE: NEW}),
    Operation("pull over an old tag", old_here_new_there, lambda w: ["pull", w.remote], {REMOTE: OLD}, {REMOTE: NEW}),
    Operation("pull --include", remote_new, lambda w: ["pull", "--include", "LICENSE", w.remote], {}, {REMOTE: NEW}),
    Operation("pull the rest", part_here, lambda w: ["pull", w.remote], {REMOTE: NEW}, {REMOTE: NEW}),
    Operation("package", nothing, lambda w: w.package(NEW, "ai/fresh:1"), {}, {FRESH: NEW}),
    Operation("package over an old tag", held_old, lambda w: w.package(NEW, "ai/held:1"), {HELD: OLD}, {HELD: NEW}),
    Operation("package --link", nothing, lambda w: [*w.package(NEW, "ai/fresh:1"), "--link"], {}, {FRESH: NEW}),
    Operation("tag", held_both, lambda w: ["tag", "ai/fresh:1", "ai/held:1"],
              {HELD: OLD, FRESH: NEW}, {HELD: NEW, FRESH: NEW}),
    Operation("rm the last tag", held_both, lambda w: ["rm", "ai/held:1"], {HELD: OLD, FRESH: NEW}, {FRESH: NEW}, (0, 3)),
    Operation("rm one of two tags", held_twice, lambda w: ["rm", "ai/held:1"], {HELD: OLD, SECOND: OLD}, {SECOND: OLD}, (0, 3)),
    Operation("purge", held_both, lambda w: ["purge", "--force"], {HELD: OLD, FRESH: NEW}, {}),
    Operation("prune", held_and_garbage, lambda w: ["prune"], {HELD: OLD}, {HELD: OLD}),
    Operation("import", nothing, lambda w: ["import", w.tar[NEW]], {}, {"docker.io/ai/new:1": NEW}),
    Operation("push", to_push, lambda w: ["push", w.remote], {REMOTE: NEW}, {REMOTE: NEW},
              registry_before=None, registry_after=NEW),
    Operation("push over an old tag", to_push_over_old, lambda w: ["push", w.remote], {REMOTE: NEW}, {REMOTE: NEW},
              registry_before=OLD, registry_after=NEW),
]


def named(world, tags):
    """The tags as the table writes them."""
    names = {id: name for name, id in world.id.items()}
    return {REMOTE if tag == world.remote else tag: names[id] for tag, id in tags.items()}


def check_tags(operation, tags):
    """Each tag is what it was or what it was to be; several may move one after the other."""
    for tag in {*operation.before, *operation.after, *tags}:
        allowed = (operation.before.get(tag), operation.after.get(tag))
        assert tags.get(tag) in allowed, f"{tag} stands for {tags.get(tag)} and not for one of {allowed}"


def check_published(world, operation, wanted):
    published = world.published()
    ids = {None: None, **world.id}
    assert published in [ids[name] for name in wanted], f"the registry's tag is {published}"


def after_kill(world, operation):
    """The state that a killed operation may leave. Returns what after_repeat wants to know of it."""
    check_tags(operation, named(world, invariants.check_visible(world.user)))
    if operation.registry_after is not ...:
        check_published(world, operation, {operation.registry_before, operation.registry_after})
    return world.uploads()


def after_repeat(world, operation, again, uploads):
    """`again`: how the same command ended, the second time."""
    assert again.returncode in operation.repeat_may_say, f"the repeat ended with {again.returncode}: {again.stderr}"
    tags = named(world, invariants.check_visible(world.user))
    assert tags == operation.after, f"after the repeat: {tags}"
    invariants.check_view(world.user)
    if operation.registry_after is not ...:
        check_published(world, operation, {operation.registry_after})
        assert world.uploads() <= uploads, "the repeat left an upload behind"
    invariants.check_reclaimed(world.user)
