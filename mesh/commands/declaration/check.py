"""`mesh check`: reads the declaration and reports its mistakes, without starting anything."""

from __future__ import annotations

from pathlib import Path

import click

from mesh.commands.terminal.streams import write_lines


@click.command()
@click.argument("target", required=False)
def check(target: str | None) -> int:
    """Read the topology that `mesh up` would run, and report every mistake in it at once.

    Listed as well, but no mistakes of the declaration, are modules and files that are not there, requirements that are
    not met, variables without a value, HTTP rules of .proto files that cannot be served, and modules that do more when
    they are run than their service does.
    """
    from mesh.calling.contract_lookup import refused_rules
    from mesh.commands.terminal.lines import count
    from mesh.hosting.named_code import missing_from
    from mesh.hosting.packages.environments import virtualenv_of
    from mesh.runtime.stubs import stubs_of
    from mesh.store.topology import store
    from mesh.topology.directory import Directory
    from mesh.topology.loading import load
    from mesh.topology.own_main import remarks

    topology = load(target, Path.cwd(), store)
    cache = topology.folder / ".mesh" / "protos"
    shared = stubs_of(topology.protos, cache)
    stubs = {service.name: (*stubs_of(service.protos, cache), *shared) for service in topology}
    described = {name: tuple(each.descriptors for each in found) for name, found in stubs.items()}
    for sentence in refused_rules(topology, Directory.of(topology, {}, described)):
        write_lines(f"{sentence}; the rule is not served")
    for sentence in (*topology.remarks, *remarks(topology)):
        write_lines(sentence)
    for service in topology:
        for sentence in missing_from(service, topology.folder, virtualenv_of(service, topology)):
            write_lines(sentence)
    counted = f"{count(len(topology.services), 'service')}, {count(len(topology.listener_names()), 'listener')}"
    where = f"from {topology.origin}" if topology.origin else topology.source or "the store"
    write_lines(f"{topology.name}: {counted}, no mistake ({where})")
    return 0
