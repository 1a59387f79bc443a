"""Helm's own engine, without the helm command: render_chart.py CHART <[values.yaml, ...] >[{manifests, remarks} or {refusal}, ...]."""

import json
import sys

import helm_python as helm


def answer(chart, folder, text):
    try:
        values = helm.values_from_yaml(text)
        chart.validate_schema(values)
        manifests = chart.render(values, name="pictures", namespace="default", is_install=True, revision=1)
    except helm.HelmError as error:
        return {"refusal": str(error)}
    messages = helm.lint(folder, values, strict=True, with_subcharts=True)["messages"]
    return {"manifests": manifests, "remarks": [message["error"] for message in messages if message["severity"] > 1]}


with helm.Chart.load(sys.argv[1]) as loaded:
    json.dump([answer(loaded, sys.argv[1], text) for text in json.load(sys.stdin)], sys.stdout)
