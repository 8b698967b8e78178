# kubectl with keyfob as its exec credential plugin: docs/kubectl.md.
kubectl_part() {
  local said version=v1
  command -v kubectl >/dev/null || { skipped+=("kubectl: not installed (Debian: kubernetes-client)"); return 0; }
  person kubectl
  # Before 1.22 there was v1beta1 only.
  case $(kubectl version --client -o json | sed -n 's/.*"minor": "\([0-9]*\).*/\1/p' | head -n 1) in
    ? | 1? | 20 | 21) version=v1beta1 ;;
  esac
  sign_in
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=interop -addext subjectAltName=IP:127.0.0.1 \
    -keyout "$work/tls.key" -out "$work/tls.crt" 2>/dev/null
  serve kubernetes "$work/tls.key" "$work/tls.crt"

  step "kubectl: the id token of a sign-in, by $version"
  block docs/kubectl.md yaml >"$work/kubeconfig"
  sed -i "s,https://k8s.example.com,$origin\n      certificate-authority: $work/tls.crt," "$work/kubeconfig"
  sed -i "s,k8s.io/v1\$,k8s.io/$version," "$work/kubeconfig"
  alone kubectl --kubeconfig "$work/kubeconfig" get --raw /hello
  echo
  saw "let in: me@example.com, for demo-client"

  step "kubectl: nobody is signed in, so it says which line to run"
  "$keyfob" logout my-idp
  ! said=$(alone kubectl --kubeconfig "$work/kubeconfig" get --raw /hello 2>&1) || fail "kubectl did without"
  echo "$said"
  grep -qF 'try: keyfob login my-idp' <<<"$said" || fail "$said"
  stop_servers
}
kubectl_part
