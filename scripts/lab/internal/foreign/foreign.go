// Package foreign makes a K3s cluster in a lab's account as somebody else might have made it: by hand, on one machine,
// with keys and CAs of its own. It uses nothing of the program, which then gives identities to the cluster's pods.
package foreign

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

// Version is the K3s release that the cluster runs.
const Version = "v1.35.4+k3s1"

// Cluster is a running cluster and what it is made of in the account.
type Cluster struct {
	// Kubeconfig is its administrator's.
	Kubeconfig string `json:"kubeconfig"`
	// SigningKey (PEM) signs its tokens. The program never gets it.
	SigningKey string `json:"signingKey"`

	VPC        string `json:"vpc"`
	Subnet     string `json:"subnet"`
	Gateway    string `json:"gateway"`
	Allocation string `json:"allocation"`
	Instance   string `json:"instance"`
}

// Make starts the cluster and waits until its API answers. issuer is the URL that its tokens must have, or empty for
// K3s's own. What is there when something fails is in the cluster that comes with the error, for [Cluster.Remove].
func Make(ctx context.Context, config aws.Config, issuer string) (*Cluster, error) {
	client, c := ec2.NewFromConfig(config), &Cluster{}
	address, err := c.network(ctx, client)
	if err != nil {
		return c, fmt.Errorf("network of the existing cluster: %w", err)
	}
	keys, err := newPKI()
	if err != nil {
		return c, err
	}
	c.SigningKey = keys.files["service.key"]
	data, err := userData(keys, address, issuer)
	if err != nil {
		return c, err
	}
	images, err := client.DescribeImages(ctx, &ec2.DescribeImagesInput{Filters: []types.Filter{{Name: aws.String("architecture"), Values: []string{"x86_64"}}}})
	if err != nil {
		return c, err
	}
	if len(images.Images) == 0 {
		return c, errors.New("the account sees no image for x86-64")
	}
	ran, err := client.RunInstances(ctx, &ec2.RunInstancesInput{
		ImageId: images.Images[0].ImageId, InstanceType: types.InstanceTypeT3Medium, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		SubnetId: &c.Subnet, UserData: aws.String(base64.StdEncoding.EncodeToString(data)),
		MetadataOptions: &types.InstanceMetadataOptionsRequest{HttpTokens: types.HttpTokensStateRequired, HttpPutResponseHopLimit: aws.Int32(1)},
	})
	if err != nil {
		return c, fmt.Errorf("machine of the existing cluster: %w", err)
	}
	c.Instance = *ran.Instances[0].InstanceId
	if err := ec2.NewInstanceRunningWaiter(client, quickly).Wait(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{c.Instance}}, time.Minute); err != nil {
		return c, err
	}
	if _, err := client.AssociateAddress(ctx, &ec2.AssociateAddressInput{AllocationId: &c.Allocation, InstanceId: &c.Instance}); err != nil {
		return c, fmt.Errorf("address of the existing cluster: %w", err)
	}
	if c.Kubeconfig, err = keys.kubeconfig("https://" + address + ":6443"); err != nil {
		return c, err
	}
	return c, c.wait(ctx)
}

// network makes what a machine needs to be reached and returns its public address.
func (c *Cluster) network(ctx context.Context, client *ec2.Client) (address string, err error) {
	vpc, err := client.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("172.31.0.0/16")})
	if err != nil {
		return "", err
	}
	c.VPC = *vpc.Vpc.VpcId
	gateway, err := client.CreateInternetGateway(ctx, &ec2.CreateInternetGatewayInput{})
	if err != nil {
		return "", err
	}
	c.Gateway = *gateway.InternetGateway.InternetGatewayId
	if _, err := client.AttachInternetGateway(ctx, &ec2.AttachInternetGatewayInput{InternetGatewayId: &c.Gateway, VpcId: &c.VPC}); err != nil {
		return "", err
	}
	subnet, err := client.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: &c.VPC, CidrBlock: aws.String("172.31.0.0/20")})
	if err != nil {
		return "", err
	}
	c.Subnet = *subnet.Subnet.SubnetId
	allocation, err := client.AllocateAddress(ctx, &ec2.AllocateAddressInput{Domain: types.DomainTypeVpc})
	if err != nil {
		return "", err
	}
	c.Allocation = *allocation.AllocationId
	return *allocation.PublicIp, nil
}

// quickly makes a waiter ask as often as a machine of the lab needs.
func quickly(o *ec2.InstanceRunningWaiterOptions) {
	o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second
}

// wait returns once the API answers its administrator and its node is there.
func (c *Cluster) wait(ctx context.Context) error {
	rest, err := clientcmd.RESTConfigFromKubeConfig([]byte(c.Kubeconfig))
	if err != nil {
		return err
	}
	api, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		if _, err = api.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the existing cluster's API does not answer: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Remove takes away what the account has of the cluster; what is gone already is no error.
func (c *Cluster) Remove(ctx context.Context, config aws.Config) error {
	client := ec2.NewFromConfig(config)
	steps := []struct {
		id   string
		drop func() error
	}{
		{c.Instance, func() error {
			if _, err := client.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{c.Instance}}); err != nil {
				return err
			}
			return ec2.NewInstanceTerminatedWaiter(client, func(o *ec2.InstanceTerminatedWaiterOptions) {
				o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second
			}).Wait(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{c.Instance}}, time.Minute)
		}},
		{c.Allocation, func() error {
			_, err := client.ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: &c.Allocation})
			return err
		}},
		{c.Subnet, func() error {
			_, err := client.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: &c.Subnet})
			return err
		}},
		{c.Gateway, func() error {
			_, err := client.DetachInternetGateway(ctx, &ec2.DetachInternetGatewayInput{InternetGatewayId: &c.Gateway, VpcId: &c.VPC})
			if err != nil {
				return err
			}
			_, err = client.DeleteInternetGateway(ctx, &ec2.DeleteInternetGatewayInput{InternetGatewayId: &c.Gateway})
			return err
		}},
		{c.VPC, func() error {
			_, err := client.DeleteVpc(ctx, &ec2.DeleteVpcInput{VpcId: &c.VPC})
			return err
		}},
	}
	for _, step := range steps {
		if step.id == "" {
			continue
		}
		if err := step.drop(); err != nil && !gone(err) {
			return fmt.Errorf("remove %s of the existing cluster: %w", step.id, err)
		}
	}
	return nil
}

// gone reports whether EC2 says that what was named does not exist.
func gone(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && strings.HasSuffix(api.ErrorCode(), ".NotFound")
}

// userData is what the owner gave the machine: K3s's files and unit, and the commands that fetch and start it.
func userData(keys *pki, address, issuer string) ([]byte, error) {
	// For whoever wants injection: admission-policy; without a policy they do nothing.
	flags := []string{"feature-gates=MutatingAdmissionPolicy=true", "runtime-config=admissionregistration.k8s.io/v1beta1=true"}
	if issuer != "" {
		flags = append(flags, "service-account-issuer="+issuer, "service-account-issuer=https://kubernetes.default.svc.cluster.local")
	}
	config := map[string]any{"token": keys.token, "tls-san": []string{address}, "kube-apiserver-arg": flags}
	k3s, err := yaml.Marshal(config)
	if err != nil {
		return nil, err
	}
	files := []map[string]string{
		{"path": "/etc/rancher/k3s/config.yaml", "content": string(k3s), "permissions": "0600"},
		{"path": "/etc/systemd/system/k3s.service", "content": "[Service]\nType=notify\nExecStart=/usr/local/bin/k3s server\n", "permissions": "0644"},
	}
	for name, content := range keys.files {
		files = append(files, map[string]string{"path": "/var/lib/rancher/k3s/server/tls/" + name, "content": content, "permissions": "0600"})
	}
	const fetch = "set -e; curl -sSfL --retry 5 --retry-all-errors -o /usr/local/bin/k3s https://github.com/k3s-io/k3s/releases/download/$(printf %s " +
		Version + " | sed s/+/%2B/)/k3s; chmod 0755 /usr/local/bin/k3s; systemctl enable k3s.service; systemctl start k3s.service"
	document, err := json.Marshal(map[string]any{"write_files": files, "runcmd": []string{fetch}})
	if err != nil {
		return nil, err
	}
	return append([]byte("#cloud-config\n"), document...), nil
}
