package coldstart

import (
	"context"
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k3s-aws-auth/scripts/bench/internal/target"
)

// CronJob lets a CronJob start pods pods every minute, times times, and takes everything away again. The pods of all
// starts are one burst: their phases count from their creation, which Kubernetes tells in whole seconds only.
func CronJob(ctx context.Context, c *target.Case, o Options, pods, times int) (res *BurstResult, err error) {
	template, err := target.Pod(c.Demo, target.PodOptions{Run: o.Name, Image: c.Image, Timeout: o.Timeout})
	if err != nil {
		return nil, err
	}
	if c.Lab != nil {
		if _, err := c.News(ctx); err != nil {
			return nil, err
		}
	}
	n, zero := int32(pods), int32(0)
	job := &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: o.Name, Namespace: template.Namespace, Labels: template.Labels},
		Spec: batchv1.CronJobSpec{
			Schedule: "* * * * *", ConcurrencyPolicy: batchv1.AllowConcurrent,
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Parallelism: &n, Completions: &n, BackoffLimit: &zero,
				Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: template.Labels}, Spec: template.Spec}}},
		},
	}
	client := c.Cluster.Client
	if _, err := client.BatchV1().CronJobs(template.Namespace).Create(ctx, job, metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("create the CronJob: %w", err)
	}
	defer func() { err = errors.Join(err, removeCronJob(context.WithoutCancel(ctx), c, o.Name)) }()
	res = &BurstResult{}
	deadline := time.Now().Add(time.Duration(times+1)*time.Minute + 2*o.Timeout)
	for {
		list, err := client.CoreV1().Pods(template.Namespace).List(ctx, metav1.ListOptions{LabelSelector: target.RunLabel + "=" + o.Name})
		if err != nil {
			return nil, err
		}
		ended := 0
		for i := range list.Items {
			if p := list.Items[i].Status.Phase; p == corev1.PodSucceeded || p == corev1.PodFailed {
				ended++
			}
		}
		if ended >= pods*times {
			res.Samples = samplesOf(list.Items, c.Role)
			break
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%d of %d pods of the CronJob have ended after %d minutes", ended, pods*times, times+1)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
	if c.Lab != nil {
		if res.Events, err = c.News(ctx); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// samplesOf reads the reports of pods that have ended.
func samplesOf(pods []corev1.Pod, role string) []*Sample {
	var out []*Sample
	for i := range pods {
		p := &pods[i]
		s := &Sample{Pod: p.Name, Began: p.CreationTimestamp.Time, Phases: Nowhere(), Load: load()}
		v := map[string]*seen{}
		note(v, p, "", 0)
		v[p.Name].fill(s, 0, role)
		// The instants of the watch were not observed.
		s.Scheduled, s.Network = Nowhere().Scheduled, Nowhere().Network
		out = append(out, s)
	}
	return out
}

// removeCronJob deletes a CronJob with its jobs and pods, and waits until the pods are gone.
func removeCronJob(ctx context.Context, c *target.Case, name string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client, namespace := c.Cluster.Client, c.Demo.Namespace
	foreground, zero := metav1.DeletePropagationForeground, int64(0)
	_ = client.BatchV1().CronJobs(namespace).Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &foreground})
	selector := metav1.ListOptions{LabelSelector: target.RunLabel + "=" + name}
	for ctx.Err() == nil {
		_, err := client.BatchV1().CronJobs(namespace).Get(ctx, name, metav1.GetOptions{})
		list, listErr := client.CoreV1().Pods(namespace).List(ctx, selector)
		if apierrors.IsNotFound(err) && listErr == nil && len(list.Items) == 0 {
			return nil
		}
		if listErr == nil {
			for i := range list.Items { // the garbage collector would take them too, with their grace period
				_ = client.CoreV1().Pods(namespace).Delete(ctx, list.Items[i].Name, metav1.DeleteOptions{GracePeriodSeconds: &zero})
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("CronJob %s or its pods are still there", name)
}
