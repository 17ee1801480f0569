// netpol enforces NetworkPolicy on one node. The decisions are those of sigs.k8s.io/kube-network-policies; its own
// data plane needs nftables' queue expression, which not every kernel has, so here iptables' NFQUEUE target hands over
// the first packet of each connection (the rules are those of tests/cluster/network.py).
package main

import (
	"context"
	"flag"
	"log"
	"os/signal"
	"syscall"
	"time"

	nfqueue "github.com/florianl/go-nfqueue/v2"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kube-network-policies/pkg/api"
	"sigs.k8s.io/kube-network-policies/pkg/network"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
	"sigs.k8s.io/kube-network-policies/pkg/podinfo"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig of a user who may list pods, namespaces, networkpolicies")
	node := flag.String("node", "", "name of this node")
	results := flag.String("cni-results", "/var/lib/cni/results", "folder where libcni keeps the result of each pod")
	queue := flag.Uint("queue", 100, "number of the netfilter queue")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	engine, err := newEngine(ctx, *kubeconfig, *node, *results)
	if err != nil {
		log.Fatal(err)
	}
	if err := serve(ctx, engine, uint16(*queue)); err != nil {
		log.Fatal(err)
	}
	log.Print("enforcing")
	<-ctx.Done()
}

func newEngine(ctx context.Context, kubeconfig, node, results string) (*networkpolicy.PolicyEngine, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	namespaces, pods := factory.Core().V1().Namespaces(), factory.Core().V1().Pods()
	policies := factory.Networking().V1().NetworkPolicies()
	reported, err := podinfo.NewInformerResolver(pods.Informer())
	if err != nil {
		return nil, err
	}
	resolvers := []podinfo.IPResolver{&cniResults{folder: results}, reported}
	engine := networkpolicy.NewPolicyEngine(
		podinfo.NewInformerProvider(pods, namespaces, nil, resolvers),
		[]api.PolicyEvaluator{networkpolicy.NewStandardNetworkPolicy(node, namespaces, pods, policies)},
	)
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return engine, nil
}

// serve judges each packet of the queue until the context ends. A packet that cannot be read or judged is dropped.
func serve(ctx context.Context, engine *networkpolicy.PolicyEngine, queue uint16) error {
	q, err := nfqueue.Open(&nfqueue.Config{
		NfQueue:      queue,
		Flags:        nfqueue.NfQaCfgFlagGSO,
		MaxPacketLen: 128, // headers
		MaxQueueLen:  1024,
		Copymode:     nfqueue.NfQnlCopyPacket,
		WriteTimeout: 100 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	judge := func(a nfqueue.Attribute) int {
		verdict := nfqueue.NfDrop
		if packet, err := network.ParsePacket(*a.Payload); err != nil {
			log.Printf("drop: %v", err)
		} else if allowed, err := engine.EvaluatePacket(ctx, &packet); err != nil {
			log.Printf("drop %s: %v", packet.String(), err)
		} else if allowed {
			verdict = nfqueue.NfAccept
		}
		if err := q.SetVerdict(*a.PacketID, verdict); err != nil {
			log.Printf("verdict: %v", err)
		}
		return 0
	}
	return q.RegisterWithErrorFunc(ctx, judge, func(err error) int {
		if ctx.Err() == nil {
			log.Printf("queue: %v", err)
		}
		return 0
	})
}
