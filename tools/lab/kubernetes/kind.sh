#!/usr/bin/env bash
# Runs an overlay on a kind cluster: installs what it needs, applies it, runs the README's example through the ingress, and
# replaces every process under load.
#
#   kind.sh dev      the overlay `dev`, with servers of its own
#   kind.sh kind     the overlay `kind`: production, with the operators of deploy/versions.toml
#
# Needs docker, kind, kubectl and helm. KEEP=1 leaves the cluster for a look at it.
set -euo pipefail
cd "$(dirname "$0")/../../.."

overlay=${1:-dev}
name=dashboard-$overlay
python=.venv/bin/python
export KUBECONFIG=${KUBECONFIG:-$PWD/.local/kind.kubeconfig}
mkdir -p .local

say() { printf '\n== %s\n' "$*"; }
version() { # OPERATOR: the tested version in deploy/versions.toml
  $python -c 'import sys, tomllib; print(tomllib.load(open("deploy/versions.toml", "rb"))["operators"][sys.argv[1]]["tested"])' "$1"
}
github() { printf 'https://github.com/%s' "$1"; }
available() { kubectl -n "$1" wait --for=condition=available --timeout=10m deployment --all; }

report() { # what a person would look at first
  status=$?
  if [ -n "${forward:-}" ]; then kill "$forward" 2> /dev/null || true; fi
  if [ "$status" != 0 ]; then
    kubectl get pods --all-namespaces -o wide || true
    kubectl -n dashboard get events --sort-by=.lastTimestamp | tail -50 || true
    for part in gateway users orders worker migrate; do
      kubectl -n dashboard logs --selector "part=$part" --all-containers --prefix --tail 40 || true
    done
  fi
  if [ -z "${KEEP:-}" ]; then kind delete cluster --name "$name"; fi
  exit "$status"
}
trap report EXIT

say "A cluster, and the image"
kind create cluster --name "$name" --config deploy/k8s/overlays/kind/cluster.yaml --wait 5m
docker build --tag dashboard:dev --file deploy/Dockerfile .
docker tag dashboard:dev dashboard:next
kind load docker-image dashboard:dev dashboard:next --name "$name"

say "The ingress"
# Each Ingress says which entry point it has; the ports are those of overlays/kind/cluster.yaml.
helm install traefik traefik --repo https://traefik.github.io/charts --namespace traefik --create-namespace --wait \
  --set service.type=NodePort --set ports.web.nodePort=30080 --set ports.websecure.nodePort=30443 \
  --set "image.tag=v$(version traefik)"
kubectl create namespace dashboard

if [ "$overlay" = kind ]; then
  say "The operators"
  kubectl apply -f "$(github cert-manager/cert-manager)/releases/download/v$(version cert-manager)/cert-manager.yaml"
  available cert-manager
  postgres=$(version cloudnative-pg)
  kubectl apply --server-side -f \
    "https://raw.githubusercontent.com/cloudnative-pg/cloudnative-pg/v$postgres/releases/cnpg-$postgres.yaml"
  kubectl apply -f \
    "$(github rabbitmq/cluster-operator)/releases/download/v$(version rabbitmq-cluster-operator)/cluster-operator.yml"
  kubectl apply -f "$(github rabbitmq/messaging-topology-operator)/releases/download/v$(
    version rabbitmq-messaging-topology-operator
  )/messaging-topology-operator-with-certmanager.yaml"
  helm install redis-operator redis-operator --repo https://ot-container-kit.github.io/helm-charts \
    --namespace redis-operator --create-namespace --wait --set "redisOperator.imageTag=v$(version redis-operator)" \
    --set "redisOperator.initContainerImageTag=v$(version redis-operator)"
  for namespace in cnpg-system rabbitmq-system redis-operator; do available "$namespace"; done
  tries=0
  until kubectl apply -f deploy/k8s/overlays/kind/issuer.yaml; do # cert-manager's webhook is up a moment after its pod
    tries=$((tries + 1))
    [ "$tries" -lt 60 ]
    sleep 2
  done
  SMTP_URL=smtp://mail:1025 AWS_ACCESS_KEY_ID=unused AWS_SECRET_ACCESS_KEY=unused \
    python3 deploy/k8s/make_secrets.py | kubectl --namespace dashboard create -f -
fi

say "The dashboard"
kubectl apply -k "deploy/k8s/overlays/$overlay"
if [ "$overlay" = dev ]; then
  kubectl -n dashboard create ingress gateway --class=traefik --rule="/*=gateway:http"
fi
kubectl -n dashboard wait --for=condition=complete --timeout=20m job --selector job=migrate
kubectl -n dashboard wait --for=condition=available --timeout=20m deployment --all

if [ "$overlay" = kind ]; then
  base=https://dashboard.localhost:8443
  kubectl -n dashboard wait --for=create --timeout=5m secret/gateway-tls
  kubectl -n dashboard get secret gateway-tls -o 'jsonpath={.data.ca\.crt}' | base64 --decode > .local/kind-ca.crt
  export CURL_CA_BUNDLE=$PWD/.local/kind-ca.crt SSL_CERT_FILE=$PWD/.local/kind-ca.crt
  curl -s -o /dev/null -w '%{http_code} %{redirect_url}\n' http://dashboard.localhost:8080/ | grep '^30[18] https://'
else
  base=http://dashboard.localhost:8080
fi
kubectl -n dashboard port-forward svc/mail 8025 > .local/kind-mail.log &
forward=$!

say "The README's example, and a rolling update under load, through the ingress"
$python -m tools.lab.kubernetes.live "$base" --mail http://127.0.0.1:8025 -- \
  sh -euc 'for part in worker users orders gateway; do
    kubectl -n dashboard set image deployment/$part app=dashboard:next schema=dashboard:next 2> /dev/null ||
      kubectl -n dashboard set image deployment/$part app=dashboard:next
    kubectl -n dashboard rollout status --timeout=10m deployment/$part
  done'

if [ "$overlay" = kind ]; then
  say "Redis is bounded, and the resources are as their definitions say"
  kubectl -n dashboard exec redis-0 -c redis -- sh -c 'redis-cli -a "$REDIS_PASSWORD" config get maxmemory' | grep 805306368
  mkdir -p .local/crds && kubectl get crds -o yaml > .local/crds/cluster.yaml
  $python -m tools.lab.kubernetes --definitions .local/crds
fi
say "OK"
