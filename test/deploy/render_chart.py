"""Helm's own engine, without the helm command: render_chart.py CHART <values.yaml >manifests.json. A refusal is told on stderr."""

import json
import sys

import helm_python as helm

chart_folder = sys.argv[1]
values = helm.values_from_yaml(sys.stdin.read())
try:
    with helm.Chart.load(chart_folder) as chart:
        chart.validate_schema(values)
        manifests = chart.render(values, name="pictures", namespace="default", is_install=True, revision=1)
except helm.HelmError as error:
    sys.exit(str(error))
remarks = helm.lint(chart_folder, values, strict=True, with_subcharts=True)["messages"]
json.dump({"manifests": manifests, "remarks": [remark["error"] for remark in remarks if remark["severity"] > 1]}, sys.stdout)
